//! What monitoring stacks pick up, made by code: the dashboard, the alerts, and how conditions become metrics.
//!
//! `MOAT_UPDATE=1 cargo test -p moat-deploy` writes the files of the chart that this makes.

mod conditions;
mod dashboard;
mod rules;

use std::collections::BTreeMap;

pub use conditions::conditions;
pub use dashboard::dashboard;
pub use rules::rules;
use serde_json::Value;

/// The generated files, by their names in `deploy/chart/files`.
///
/// # Errors
/// A value cannot be written, which none of them is.
pub fn files() -> Result<BTreeMap<&'static str, String>, Box<dyn std::error::Error>> {
    let yaml = |value: &Value| serde_saphyr::to_string(value);
    Ok(BTreeMap::from([
        ("dashboard.json", format!("{:#}\n", dashboard())),
        ("rules.yaml", yaml(&rules())?),
        ("kube-state-metrics.yaml", yaml(&conditions())?),
    ]))
}

/// Every query of the dashboard, as Prometheus takes it, with the title of its panel. `rate` stands for the interval that Grafana
/// chooses, such as `1m`.
#[must_use]
pub fn queries(rate: &str) -> Vec<(String, String)> {
    let dashboard = dashboard();
    let text = |value: &Value, pointer: &str| {
        value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let panels = dashboard.get("panels").and_then(Value::as_array).into_iter().flatten();
    let queries = panels.flat_map(|panel| {
        let targets = panel.get("targets").and_then(Value::as_array).into_iter().flatten();
        targets.map(|target| {
            let query = text(target, "/expr").replace("$__rate_interval", rate);
            (text(panel, "/title"), query)
        })
    });
    queries.collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// `MOAT_UPDATE=1 cargo test -p moat-deploy` writes the files that this compares.
    #[test]
    fn the_committed_files_are_what_the_code_makes() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../chart/files");
        for (name, text) in files().expect("they can be written") {
            let path = folder.join(name);
            if std::env::var_os("MOAT_UPDATE").is_some() {
                std::fs::write(&path, &text).expect("writable");
            }
            let committed = std::fs::read_to_string(&path).expect("committed");
            assert!(committed == text, "{} is stale: run with MOAT_UPDATE=1", path.display());
        }
    }

    #[test]
    fn the_image_is_where_a_release_of_the_repository_puts_it() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../chart/values.yaml");
        let values = std::fs::read_to_string(path).expect("committed");
        let image = env!("CARGO_PKG_REPOSITORY").replace("https://github.com/", "ghcr.io/");
        assert!(values.contains(&format!("\n  repository: {image}\n")), "{image}: {values}");
    }

    #[test]
    fn what_others_made_is_taken_by_its_commit_with_the_version_beside() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.github/workflows");
        for file in std::fs::read_dir(path).expect("workflows") {
            let text = std::fs::read_to_string(file.expect("a file").path()).expect("readable");
            for line in text.lines().filter(|line| line.contains("uses: ")) {
                let (_, pin) = line.split_once('@').expect("a version");
                let (commit, version) = pin.split_once(" # v").expect("a comment");
                let is_digest =
                    commit.len() == 40 && commit.bytes().all(|it| it.is_ascii_hexdigit());
                assert!(is_digest && version.split('.').count() == 3, "{line}");
            }
        }
    }

    #[test]
    fn panels_do_not_overlap_and_have_numbers_of_their_own() {
        let dashboard = dashboard();
        let panels = dashboard["panels"].as_array().expect("panels");
        let mut cells = std::collections::BTreeSet::new();
        let mut numbers = std::collections::BTreeSet::new();
        for panel in panels {
            assert!(numbers.insert(panel["id"].as_u64()), "{panel:#}");
            let place = |key: &str| panel["gridPos"][key].as_u64().expect("a number");
            assert!(place("x") + place("w") <= 24, "{panel:#}");
            for x in place("x")..place("x") + place("w") {
                for y in place("y")..place("y") + place("h") {
                    assert!(cells.insert((x, y)), "{panel:#}");
                }
            }
        }
    }
}
