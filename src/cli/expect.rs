//! Expectations: flows with the verdict that their author wants. Unit tests for a cluster's network policies.
//!
//! ```yaml
//! - name: the web reaches the database
//!   from: shop/web-0
//!   to: shop/database-0
//!   service: tcp/5432
//!   expect: allow
//! ```

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use moat_core::finding::{Finding, Location};
use moat_core::inventory::Inventory;
use moat_core::net::Family;
use serde::Deserialize;
use serde_saphyr::{MessageFormatter, Spanned, UserMessageFormatter};

use crate::Io;
use crate::failure::Failure;
use crate::json::{self, FlowVerdict, Verdict};
use crate::oracle::Oracle;
use crate::sources;
use crate::text::Paint;

/// A flow with the verdict that its author wants, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    from: String,
    to: String,
    service: String,
    expect: Verdict,
    #[serde(default)]
    family: Option<u8>,
}

/// An expectation and where it stands.
#[derive(Debug)]
pub(crate) struct Expectation {
    entry: Entry,
    location: Location,
}

/// What came of an expectation.
#[derive(Debug)]
pub(crate) struct Outcome {
    expectation: Expectation,
    /// What policies and cloud say; none where the flow cannot be made.
    said: Option<(Verdict, Verdict)>,
    findings: Vec<Finding>,
    /// Why it is not met.
    pub(crate) message: Option<String>,
}

/// Reads the files of expectations, in their order.
pub(crate) fn read(paths: &[PathBuf], io: &mut Io<'_>) -> Result<Vec<Expectation>, Failure> {
    let mut expectations = Vec::new();
    for path in paths {
        let text = sources::read_text(path, io.stdin)?;
        expectations.extend(parse(path, &text)?);
    }
    Ok(expectations)
}

fn parse(path: &Path, text: &str) -> Result<Vec<Expectation>, Failure> {
    let file = path.display().to_string();
    let entries: Vec<Spanned<Entry>> = serde_saphyr::from_str(text).map_err(|error| {
        let place = error.location().filter(|it| it.line() > 0);
        let place = place.map(|it| format!("{file}:{}:{}", it.line(), it.column()));
        let message = UserMessageFormatter.format_message(error.without_snippet()).into_owned();
        Failure::Expectations { place: place.unwrap_or_else(|| file.clone()), message }
    })?;
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).max(1);
    let expectation = |entry: Spanned<Entry>| {
        let at = entry.referenced;
        let (line, column) = (number(at.line()), number(at.column()));
        let location = Location { file: file.as_str().into(), line, column };
        if family(entry.value.family).is_none() {
            let message = "`family` is 4 or 6".to_owned();
            return Err(Failure::Expectations { place: location.to_string(), message });
        }
        Ok(Expectation { entry: entry.value, location })
    };
    entries.into_iter().map(expectation).collect()
}

/// The family of the number that people write; the outer none is an error.
pub(crate) const fn family(number: Option<u8>) -> Option<Option<Family>> {
    match number {
        None => Some(None),
        Some(4) => Some(Some(Family::V4)),
        Some(6) => Some(Some(Family::V6)),
        Some(_) => None,
    }
}

impl Expectation {
    /// Asks policies and cloud.
    pub(crate) fn test(self, oracle: &Oracle<'_>) -> Outcome {
        let Entry { from, to, service, expect, .. } = &self.entry;
        let family = family(self.entry.family).flatten();
        let flow = match oracle.names.flow(from, to, service, family) {
            Ok(flow) => flow,
            Err(failure) => {
                let message = Some(failure.to_string());
                return Outcome { expectation: self, said: None, findings: Vec::new(), message };
            }
        };
        let answer = oracle.explainer.compare(&flow);
        let policies = Verdict::of(answer.policies.allowed());
        let cloud = Verdict::of(answer.cloud.allows());
        let wanted = expect.word();
        let message = match (policies == *expect, cloud == *expect) {
            (true, true) => None,
            (false, false) => {
                Some(format!("`{wanted}` is wanted, policies and cloud say `{}`", policies.word()))
            }
            (false, true) => Some(format!(
                "`{wanted}` is wanted, the policies say `{}` (the cloud does `{wanted}` all the same)",
                policies.word()
            )),
            (true, false) => {
                let reasons: Vec<&str> =
                    answer.findings.iter().map(|finding| finding.reason.as_str()).collect();
                let reasons = reasons.join(", ");
                Some(format!("`{wanted}` is wanted, the cloud does `{}`: {reasons}", cloud.word()))
            }
        };
        let findings = answer.findings.into_iter().map(Cow::into_owned).collect();
        Outcome { expectation: self, said: Some((policies, cloud)), findings, message }
    }
}

impl Outcome {
    /// Whether policies and cloud say what the author wants.
    pub(crate) const fn is_met(&self) -> bool {
        self.message.is_none()
    }

    pub(crate) fn name(&self) -> &str {
        &self.expectation.entry.name
    }

    pub(crate) const fn location(&self) -> &Location {
        &self.expectation.location
    }

    /// One line for people.
    pub(crate) fn line(&self, paint: Paint) -> String {
        match &self.message {
            None => format!("{} {}", paint.green("met   "), self.name()),
            Some(message) => {
                let (name, location) = (self.name(), self.location());
                let Entry { from, to, service, .. } = &self.expectation.entry;
                let failed = paint.red("FAILED");
                format!(
                    "{failed} {name}: {from} → {to} {service}: {message}\n       --> {location}"
                )
            }
        }
    }

    pub(crate) fn document(&self, inventory: &Inventory) -> json::Expectation {
        let Entry { name, from, to, service, expect, family } = &self.expectation.entry;
        json::Expectation {
            name: name.clone(),
            expect: *expect,
            location: json::Location::of(self.location()),
            flow: self.said.map(|(policies, cloud)| FlowVerdict {
                from: from.clone(),
                to: to.clone(),
                service: service.clone(),
                family: *family,
                policies,
                cloud,
                findings: json::Finding::all(&self.findings, inventory),
            }),
            met: self.is_met(),
            message: self.message.clone(),
        }
    }
}
