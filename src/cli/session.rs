//! What the commands share: read, compile, plan, carry out, read back.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use moat_core::advice;
use moat_core::compile::{self, Desired};
use moat_core::drift;
use moat_core::drive::{self, Ending, Outcome};
use moat_core::finding::{Finding, Location, Reason};
use moat_core::firewall::Naming;
use moat_core::inventory::Inventory;
use moat_core::placement;
use moat_core::plan::{self, Plan, Stage};
use moat_core::policy::{ObjectRef, Policy};
use moat_core::provider::Observed;
use moat_core::settings::{Quotas, Settings};
use moat_k8s::configuration::{Configuration, Mode};
use moat_k8s::{Options, Places, Source, Workloads};

use crate::args::{self, Input};
use crate::cloud::Cloud;
use crate::failure::Failure;
use crate::json::Writer;
use crate::live::{self, Cluster};
use crate::sources::Lines;
use crate::{Io, quotas, sources, text};

/// Everything that was read, placed in the cloud.
pub(crate) struct Session {
    pub(crate) configuration: Configuration,
    pub(crate) settings: Settings,
    pub(crate) sources: Vec<Source>,
    pub(crate) policies: Vec<Policy>,
    pub(crate) inventory: Inventory,
    /// The pods of each workload.
    pub(crate) workloads: Workloads,
    /// What was not understood.
    pub(crate) findings: Vec<Finding>,
    places: Places,
    cluster: String,
    cloud: Cloud,
    /// The cluster that was read beside the manifests.
    live: Option<Box<dyn Cluster>>,
    /// Whether a lease is taken, and has to be ours whenever the cloud is changed.
    is_leased: bool,
    /// Whether anything was read that should be in the cloud.
    has_input: bool,
    /// The picture that the pods' places were read from, until it is asked for.
    picture: Option<Arc<Observed>>,
}

/// What came of applying.
pub(crate) struct Applied {
    /// The stages of every round, in order.
    pub(crate) stages: Vec<Stage>,
    /// The last picture.
    pub(crate) observed: Arc<Observed>,
}

impl Session {
    /// Reads the paths, the configuration, and the cluster if one is named, and gives every pod its place in the cloud. `others`
    /// are files that the command reads for itself.
    pub(crate) fn open(
        paths: &[PathBuf],
        Input { cloud: named, live, assume_pods }: &Input,
        others: &[PathBuf],
        io: &mut Io<'_>,
    ) -> Result<Self, Failure> {
        if *assume_pods && matches!(named.provider, args::Provider::Aws) {
            let message = "`--assume-pods` puts pods into the VPC in memory: an account has none but those that are there";
            return Err(Failure::Usage(message.to_owned()));
        }
        let configuration = configuration(named.config.as_deref(), io.stdin)?;
        let others = [others, named.config.as_slice(), named.state.as_slice()].concat();
        let sources = sources::read(paths, &others, io.stdin)?;
        let bytes: usize = sources.iter().map(|source| source.bytes.len()).sum();
        progress(io, bytes > LONG_INPUT, || format!("reading {} KiB of manifests", bytes >> 10))?;
        let mut live = live.reach(io)?;
        let there = live::there(live.as_mut(), io)?;
        let options = Options { assume_pods: *assume_pods };
        let cluster = named.cluster.as_ref().unwrap_or(&configuration.cluster).to_string();
        let mut read = moat_k8s::read_onto(there.objects, &sources, &options);
        live::note_absent(&there.absent, &read.policies, io)?;
        let mut cloud = Cloud::open(&configuration, &cluster, named, io.connect)?;
        let place = cloud.place(&mut read.inventory, &configuration)?;
        for mut finding in place.findings {
            let path = if finding.path.is_empty() { "metadata.name" } else { &*finding.path };
            finding.location = read.places.locate(&finding.object, path);
            read.findings.push(finding);
        }
        placement::release(&mut read.inventory, &read.released);
        if live.is_some() {
            // In a cluster that lives, pods begin and end: nobody has to do anything about it.
            let passes = |it: &Finding| it.reason == Reason::NotRunning && it.location.is_none();
            read.findings.retain(|finding| !passes(finding));
        }
        let picture = place.picture.as_ref();
        read.findings
            .extend(picture.into_iter().flat_map(|picture| drift::kept(picture, &cluster)));
        for remark in quotas::remarks(place.quotas, &place.assumed, &configuration.quotas) {
            writeln!(io.stderr, "note: {remark}")?;
        }
        let mut settings = configuration.settings(place.quotas);
        if settings.pod_subnets.is_empty() {
            settings.pod_subnets = place.pod_subnets;
        }
        Ok(Self {
            settings,
            sources,
            policies: configuration.in_force(read.policies, &read.inventory),
            inventory: read.inventory,
            workloads: read.workloads,
            findings: read.findings,
            places: read.places,
            configuration,
            cluster,
            cloud,
            live,
            is_leased: false,
            has_input: true,
            picture: place.picture,
        })
    }

    /// The cloud alone: nothing is read that should be in it.
    pub(crate) fn without_objects(
        named: &args::Cloud,
        live: &args::Live,
        io: &mut Io<'_>,
    ) -> Result<Self, Failure> {
        let live = live.reach(io)?;
        let configuration = configuration(named.config.as_deref(), io.stdin)?;
        let cluster = named.cluster.as_ref().unwrap_or(&configuration.cluster).to_string();
        let cloud = Cloud::open(&configuration, &cluster, named, io.connect)?;
        Ok(Self {
            settings: configuration.settings(Quotas::default()),
            configuration,
            cluster,
            cloud,
            live,
            is_leased: false,
            has_input: false,
            sources: Vec::new(),
            policies: Vec::new(),
            inventory: Inventory::default(),
            workloads: Workloads::default(),
            findings: Vec::new(),
            places: Places::default(),
            picture: None,
        })
    }

    /// Where changes touch what others share, so that somebody is asked before.
    pub(crate) fn asks_before(&self) -> Option<&str> {
        self.cloud.vpc()
    }

    /// What should be in the cloud. Its findings tell where they stand.
    pub(crate) fn compile(&self, io: &mut Io<'_>) -> Result<Desired, Failure> {
        let (policies, pods) = (self.policies.len(), self.inventory.pods.len());
        progress(io, policies + pods > LONG_COMPILE, || {
            let (policies, pods) = (text::count(policies, "policy"), text::count(pods, "pod"));
            format!("compiling {policies} for {pods}")
        })?;
        let mut desired = compile::compile(&self.policies, &self.inventory, &self.settings);
        for finding in &mut desired.findings {
            if finding.location.is_none() {
                finding.location = self.locate(&finding.object, &finding.path);
            }
        }
        Ok(desired)
    }

    /// Where a field of an object stands; an object as a whole stands where its name does.
    pub(crate) fn locate(&self, object: &ObjectRef, path: &str) -> Option<Location> {
        let path = if path.is_empty() { "metadata.name" } else { path };
        self.places.locate(object, path)
    }

    /// What was not understood, and what the cloud cannot say.
    pub(crate) fn all_findings(&self, desired: &Desired) -> Vec<Finding> {
        let mut findings = self.findings.clone();
        findings.extend(desired.findings.iter().cloned());
        text::findings::in_reading_order(&mut findings);
        findings
    }

    /// The findings, with what network ACLs could do among them.
    pub(crate) fn with_advice(
        &self,
        mut findings: Vec<Finding>,
        desired: &Desired,
    ) -> Vec<Finding> {
        let Self { policies, inventory, settings, .. } = self;
        let mut found = advice::cheaper_with_acls(policies, inventory, settings, desired);
        for finding in &mut found {
            finding.location = self.locate(&finding.object, &finding.path);
        }
        findings.extend(found);
        text::findings::in_reading_order(&mut findings);
        findings
    }

    /// The findings, with what a picture tells of others' work, and what the stages of a plan from it put right, among them.
    pub(crate) fn with_drift(
        &self,
        mut findings: Vec<Finding>,
        observed: &Observed,
        stages: &[Stage],
    ) -> Vec<Finding> {
        findings.extend(drift::taken(observed, &self.cluster));
        findings.extend(drift::repaired(observed, stages, &self.inventory, &self.cluster));
        text::findings::in_reading_order(&mut findings);
        findings
    }

    /// A picture of the cloud: the one that the inventory was read from, and later ones.
    pub(crate) fn observe(&mut self) -> Result<Arc<Observed>, Failure> {
        let Self { cloud, inventory, configuration, .. } = self;
        self.picture.take().map_or_else(|| cloud.observe(inventory, configuration), Ok)
    }

    /// Whether the configuration lets the cloud be changed.
    pub(crate) fn may_apply(&self) -> Result<(), Failure> {
        match self.configuration.mode {
            Mode::Enforce => Ok(()),
            Mode::Observe => Err(Failure::NotApplied(
                "the configuration says `mode: Observe`; use `moat plan`, or set `Enforce`"
                    .to_owned(),
            )),
        }
    }

    /// Sees to it that nobody else keeps the same groups in an account until this ends: two would undo each other's work.
    pub(crate) fn be_alone(&mut self) -> Result<(), Failure> {
        let (cluster, Some(vpc)) = (&self.cluster, self.cloud.vpc()) else { return Ok(()) };
        let refused = |why: String| Err(Failure::NotApplied(why));
        let Some(live) = &mut self.live else {
            return refused(format!(
                "whether a controller keeps the groups of `{cluster}` in {vpc} is not known: give the cluster's `--context`, so \
                 that its lease is looked at, or `--no-controller` where there is none"
            ));
        };
        match live.take(cluster) {
            Ok(None) => {
                self.is_leased = true;
                Ok(())
            }
            Ok(Some(leader)) => refused(format!(
                "the controller `{leader}` keeps the groups of `{cluster}` in {vpc}, and would undo this: let it do the work, or \
                 stop it first, as `kubectl scale deployment moat --replicas=0` in its namespace does"
            )),
            Err(why) => refused(format!(
                "whether a controller keeps the groups of `{cluster}` in {vpc} is not known: {why}; or give `--no-controller` \
                 where there is none"
            )),
        }
    }

    /// The plan from a picture to what is desired.
    pub(crate) fn plan(&self, desired: &Desired, observed: &Observed) -> Plan {
        plan::plan(desired, observed, &self.inventory, &self.settings.quotas)
    }

    /// A plan in parts between which it is seen whether the lease is still ours: what is done until then is done before
    /// somebody else may take it.
    fn parts(&self, plan: &Plan) -> Vec<Plan> {
        /// EC2 allows five changes a second, and a lease is good for five seconds after its holder stops to count on it.
        const PORTION: usize = 25;
        let part = |stages| Plan { stages, ..Plan::default() };
        if !self.is_leased {
            return vec![part(plan.stages.clone())];
        }
        let stages = drive::portions(plan.stages.clone(), PORTION);
        stages.into_iter().map(|stage| part(vec![stage])).collect()
    }

    /// Carries out the parts of a plan, as long as each comes to its end.
    fn drive<'plan>(&mut self, parts: &'plan [Plan]) -> Result<Outcome<'plan>, Failure> {
        let mut whole = Outcome { attempts: Vec::new(), observed: None, ending: Ending::Done };
        for part in parts {
            if self.is_leased && !self.live.as_ref().is_some_and(|live| live.is_held()) {
                return Err(Failure::NotApplied(format!(
                    "the lease of `{}` is lost, and a controller may take it: what is done until here is safe, and the command \
                     again, once the API server answers, does the rest",
                    self.cluster
                )));
            }
            let outcome = self.cloud.drive(part, &self.inventory, &self.configuration);
            whole.attempts.extend(outcome.attempts);
            whole.observed = outcome.observed.or(whole.observed);
            whole.ending = outcome.ending;
            if whole.ending != Ending::Done {
                break;
            }
        }
        Ok(whole)
    }

    /// Whether the role may make the calls of a plan: a missing permission is told before anything is half done.
    fn may_call(&mut self, plan: &Plan) -> Result<(), Failure> {
        let forbidden = self.cloud.forbidden(plan);
        if forbidden.is_empty() {
            return Ok(());
        }
        let actions = forbidden.join("`, `");
        let these = if forbidden.len() == 1 { "this permission" } else { "these permissions" };
        let message =
            format!("nothing is done, since the role may not call `{actions}`: give it {these}");
        Err(Failure::NotApplied(message))
    }

    /// Plans, carries out and reads back until nothing is left to do.
    pub(crate) fn apply(
        &mut self,
        desired: &Desired,
        mut observed: Arc<Observed>,
        io: &mut Io<'_>,
    ) -> Result<Applied, Failure> {
        /// A plan is carried out whole unless the cloud changes beneath it, or is slow to show what was done.
        const ROUNDS: usize = 16;
        /// What the cloud refuses in so many plans in a row, and shows as it was, it goes on refusing.
        const FRUITLESS: usize = 3;
        self.may_apply()?;
        let mut stages = Vec::new();
        let (mut last, mut fruitless) = (String::new(), 0);
        for round in 1..=ROUNDS {
            let plan = self.plan(desired, &observed);
            if plan.stages.is_empty() {
                return Ok(Applied { stages, observed });
            }
            if round == 1 {
                self.may_call(&plan)?;
            }
            let steps: usize = plan.stages.iter().map(|stage| stage.steps.len()).sum();
            progress(io, steps > LONG_PLAN, || {
                format!("carrying out {}", text::count(steps, "call"))
            })?;
            let parts = self.parts(&plan);
            let outcome = self.drive(&parts)?;
            let failures: Vec<String> = outcome
                .failures()
                .map(|(step, error)| format!("{}: {error}", step.named(&self.cluster)))
                .collect();
            let refused = outcome.attempts.iter().rev().find_map(|attempt| {
                let step = attempt.step.named(&self.cluster);
                attempt.answer.as_ref().err().map(|error| format!("; {step}: {error}"))
            });
            last = format!("the cloud still differs after {}", text::count(round, "plan"))
                + &refused.unwrap_or_default();
            match outcome.ending {
                Ending::Done | Ending::PlanAgain => {}
                Ending::Failed => return Err(Failure::NotApplied(failures.join("; "))),
                Ending::Unread(error) => return Err(Failure::Unread(error)),
            }
            // What was read back last is what the next plan starts from.
            let before = match outcome.observed {
                Some(picture) => std::mem::replace(&mut observed, picture),
                None => std::mem::replace(&mut observed, self.observe()?),
            };
            stages.extend(plan.stages);
            fruitless = if before == observed { fruitless + 1 } else { 0 };
            if fruitless == FRUITLESS {
                break;
            }
        }
        Err(Failure::NotApplied(last))
    }

    /// Whether anything was read that should be in the cloud.
    pub(crate) const fn has_input(&self) -> bool {
        self.has_input
    }

    /// Keeps the cloud, if there is a file for it.
    pub(crate) fn save(&self) -> Result<(), Failure> {
        self.cloud.save()
    }

    /// Whether the cloud is there between commands.
    pub(crate) const fn cloud_lasts(&self) -> bool {
        self.cloud.lasts()
    }

    /// The lines that the findings are about.
    pub(crate) fn lines(&self, findings: &[Finding]) -> Lines {
        let files =
            findings.iter().filter_map(|finding| Some(finding.location.as_ref()?.file.clone()));
        Lines::of(&self.sources, &files.collect::<BTreeSet<_>>())
    }

    /// The owner tag of the groups.
    pub(crate) fn cluster(&self) -> &str {
        &self.cluster
    }

    pub(crate) fn writer(&self) -> Writer<'_> {
        Writer::new(&self.cluster, &self.inventory)
    }
}

/// The configuration file, or the default.
pub(crate) fn configuration(
    path: Option<&Path>,
    stdin: &mut dyn Read,
) -> Result<Configuration, Failure> {
    let Some(path) = path else { return Ok(Configuration::default()) };
    let text = sources::read_text(path, stdin)?;
    text.parse().map_err(|error| Failure::Configuration { path: path.to_owned(), error })
}

/// From these sizes on, work takes long enough to say so.
const LONG_INPUT: usize = 1 << 20;
const LONG_COMPILE: usize = 2_000;
const LONG_PLAN: usize = 500;

/// Says on a terminal what long work is under way.
pub(crate) fn progress(
    io: &mut Io<'_>,
    long: bool,
    message: impl FnOnce() -> String,
) -> Result<(), Failure> {
    if long && io.terminal.progress {
        writeln!(io.stderr, "{} …", message())?;
    }
    Ok(())
}
