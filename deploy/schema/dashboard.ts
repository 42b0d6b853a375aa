// What Grafana publishes of a dashboard and of the panels that ours has, as JSON spells it: a word in place of an enum's member.
import type {Dashboard, Panel, RowPanel} from '@grafana/schema';
import type {Options as Stat} from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type {FieldConfig as Lines, Options as TimeSeries} from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

type Plain<T> = unknown extends T ? T
  : T extends string ? `${T}`
  : T extends number | boolean | null | undefined ? T
  : T extends Array<infer Item> ? Array<Plain<Item>>
  : T extends object ? {[Key in keyof T]: Plain<T[Key]>}
  : T;

type StatPanel = Omit<Panel, 'type' | 'options'> & {type: 'stat'; options: Stat};
type LinesPanel = Omit<Panel, 'type' | 'options' | 'fieldConfig'> & {
  type: 'timeseries';
  options: Omit<TimeSeries, 'timezone'>;
  fieldConfig: {defaults: Omit<NonNullable<Panel['fieldConfig']>['defaults'], 'custom'> & {custom: Lines}; overrides: []};
};
type Row = Omit<RowPanel, 'type'> & {type: 'row'};

export type Ours = Plain<Omit<Dashboard, 'panels'> & {panels: Array<Row | StatPanel | LinesPanel>}>;
