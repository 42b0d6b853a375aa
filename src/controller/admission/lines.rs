//! Warnings as the API server takes them.
//!
//! It cuts a warning after 256 characters, and keeps 4,096 of a request's, of whichever webhook they come from ("Dynamic
//! admission control", Response).

use std::collections::BTreeSet;

use moat_core::finding::{Effect, Finding};

/// Bytes of a line, which are no fewer than its characters.
const LONGEST: usize = 256;

/// Bytes of all lines: other webhooks' warnings have the rest.
const ALL: usize = 3_800;

/// Where to read what there is no room for.
const MORE: &str = "moat: there is more to say than fits here: the policy's status will have all of it, and so has `moat check`";

/// What is said about a field.
pub(super) fn about(path: &str, text: &str) -> String {
    if path.is_empty() { text.to_owned() } else { format!("{path}: {text}") }
}

/// What a finding says.
pub(super) fn finding(finding: &Finding) -> String {
    let effect = match finding.effect {
        Effect::Ignored => String::new(),
        effect @ (Effect::Narrower | Effect::NotEnforced) => format!(", {effect}"),
    };
    about(&finding.path, &format!("{}{effect}: {}", finding.reason, finding.message))
}

/// As many texts as fit, each once, as lines.
pub(super) fn fitting(texts: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut known = BTreeSet::new();
    let (mut lines, mut room) = (Vec::new(), ALL);
    for text in texts {
        if known.contains(&text) {
            continue;
        }
        let new = split(&text);
        match room.checked_sub(new.iter().map(String::len).sum()) {
            Some(left) => room = left,
            None => {
                lines.push(MORE.to_owned());
                break;
            }
        }
        lines.extend(new);
        known.insert(text);
    }
    lines
}

/// A text in lines: parted where a clause ends, else where a word does.
fn split(text: &str) -> Vec<String> {
    let (mut lines, mut start, mut rest) = (Vec::new(), "moat: ", text);
    while start.len() + rest.len() > LONGEST {
        let room = rest.floor_char_boundary(LONGEST - start.len());
        let (fits, _) = rest.split_at(room);
        let after = |mark: &str| fits.rfind(mark).map(|at| at + mark.len());
        let end = [after("; "), after(" ")].into_iter().flatten().find(|end| 2 * end > room);
        let (line, more) = rest.split_at(end.unwrap_or(room));
        lines.push(format!("{start}{}", line.trim_end()));
        (start, rest) = ("moat: … ", more);
    }
    lines.push(format!("{start}{rest}"));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_parted_before_the_api_server_would_cut_it() {
        assert_eq!(split(&about("spec.egress[0]", "short")), ["moat: spec.egress[0]: short"]);
        let whole = "é".repeat(125);
        assert_eq!(split(&about("", &whole)), [format!("moat: {whole}")]);
        let (first, second) = ("été ".repeat(25), "été ".repeat(30));
        let parted = split(&format!("{first}; {second}end"));
        assert_eq!(parted, [format!("moat: {first};"), format!("moat: … {second}end")]);
        for text in ["été ".repeat(400), "é".repeat(900)] {
            let lines = split(&text);
            assert!(lines.iter().all(|line| line.len() <= LONGEST), "{lines:?}");
            let said: String = lines
                .iter()
                .map(|line| line.trim_start_matches("moat: ").replace("… ", ""))
                .collect();
            assert_eq!(said.replace(' ', ""), text.replace(' ', ""));
        }
    }

    #[test]
    fn lines_that_do_not_fit_leave_a_word() {
        let texts = |count: usize| (0..count).map(|place| format!("{place:>194}"));
        assert_eq!(fitting(texts(19)).len(), 19);
        let most = fitting(texts(50));
        assert_eq!((most.len(), most.last().map(String::as_str)), (20, Some(MORE)));
        assert!(most.iter().map(String::len).sum::<usize>() <= 4_096);
        assert_eq!(fitting(["a".to_owned(), "a".to_owned()]), ["moat: a"]);
    }
}
