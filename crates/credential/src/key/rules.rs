//! Rules by which other people's scanners find keys of this installation: from its prefixes, so that a branded
//! installation is found, too.

use std::fmt::Write as _;

use super::{BODY, Prefixes, TRIGGER_PREFIX};

/// A scanner for leaked secrets, of somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scanner {
    /// `gitleaks` and what reads its files: TOML.
    Gitleaks,
    /// `kingfisher`: YAML, with the checksum verified.
    Kingfisher,
    /// `trufflehog`: custom detectors in YAML.
    Trufflehog,
    /// Yelp's `detect-secrets`: a plugin in Python, with the checksum verified.
    DetectSecrets,
}

/// One kind of secret.
struct Rule {
    /// `secret-live`.
    id: String,
    about: &'static str,
    /// What every one begins with.
    prefix: String,
    /// What follows, as a regular expression.
    rest: String,
    has_checksum: bool,
}

impl Rule {
    fn pattern(&self) -> String {
        format!("{}{}", self.prefix, self.rest)
    }
}

fn table(prefixes: &Prefixes) -> Vec<Rule> {
    let body = format!("[0-9A-Za-z]{{{BODY}}}");
    let keyed = |id: &str, about, prefix: &str| Rule {
        id: id.replace('_', "-"),
        about,
        prefix: prefix.to_owned(),
        rest: body.clone(),
        has_checksum: true,
    };
    let mut rules: Vec<Rule> = prefixes
        .all()
        .into_iter()
        // Everybody may see a widget key: it is in pages.
        .filter(|(name, ..)| *name != "widget")
        .map(|(name, prefix, family, _)| keyed(name, family.about(), prefix))
        .collect();
    rules.push(keyed("trigger", "Address of a webhook that starts runs", TRIGGER_PREFIX));
    rules.push(Rule {
        id: "webhook-secret".into(),
        about: "Secret that webhooks are signed with",
        prefix: "whsec_".into(),
        rest: "[A-Za-z0-9+/]{32,88}={0,2}".into(),
        has_checksum: false,
    });
    rules
}

/// The file for a scanner.
#[must_use]
pub fn rules(prefixes: &Prefixes, scanner: Scanner) -> String {
    let rules = table(prefixes);
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = match scanner {
        Scanner::Gitleaks => gitleaks(&rules, &mut out),
        Scanner::Kingfisher => kingfisher(&rules, &mut out),
        Scanner::Trufflehog => trufflehog(&rules, &mut out),
        Scanner::DetectSecrets => detect_secrets(&rules, &mut out),
    };
    out
}

fn gitleaks(rules: &[Rule], out: &mut String) -> std::fmt::Result {
    writeln!(out, "title = \"Chatelaine\"\n\n[extend]\nuseDefault = true")?;
    for rule in rules {
        let (id, about, prefix, pattern) = (&rule.id, rule.about, &rule.prefix, rule.pattern());
        writeln!(out, "\n[[rules]]\nid = \"chatelaine-{id}\"\ndescription = \"Chatelaine: {about}\"")?;
        // A signature's padding is no word character.
        let end = if rule.has_checksum { r"\b" } else { "" };
        writeln!(out, "regex = '''\\b({pattern}){end}'''\nkeywords = [\"{}\"]", prefix.to_ascii_lowercase())?;
    }
    Ok(())
}

fn kingfisher(rules: &[Rule], out: &mut String) -> std::fmt::Result {
    writeln!(out, "rules:")?;
    for (at, rule) in rules.iter().enumerate() {
        writeln!(out, "  - name: \"Chatelaine: {}\"\n    id: chatelaine.{}", rule.about, at + 1)?;
        if rule.has_checksum {
            let random = BODY - 6;
            writeln!(
                out,
                "    pattern: '\\b({}(?P<body>[0-9A-Za-z]{{{random}}})(?P<checksum>[0-9A-Za-z]{{6}}))\\b'",
                rule.prefix
            )?;
            writeln!(
                out,
                "    pattern_requirements:\n      checksum:\n        actual:\n          template: '{{{{ CHECKSUM }}}}'"
            )?;
            writeln!(out, "          requires_capture: checksum")?;
            writeln!(out, "        expected: '{{{{ BODY | crc32 | base62: 6 }}}}'\n        skip_if_missing: true")?;
        } else {
            writeln!(out, "    pattern: '\\b({})'", rule.pattern())?;
        }
        writeln!(out, "    min_entropy: 3.0\n    confidence: medium")?;
    }
    Ok(())
}

fn trufflehog(rules: &[Rule], out: &mut String) -> std::fmt::Result {
    writeln!(out, "detectors:")?;
    for rule in rules {
        writeln!(out, "  - name: chatelaine-{}\n    description: \"Chatelaine: {}\"", rule.id, rule.about)?;
        let end = if rule.has_checksum { r"\b" } else { "" };
        writeln!(
            out,
            "    keywords:\n      - \"{}\"\n    regex:\n      key: '\\b({}){end}'",
            rule.prefix,
            rule.pattern()
        )?;
    }
    Ok(())
}

fn detect_secrets(rules: &[Rule], out: &mut String) -> std::fmt::Result {
    out.push_str(PLUGIN_HEAD);
    for rule in rules {
        let end = if rule.has_checksum { r"\b" } else { "" };
        writeln!(out, "        re.compile(r\"\\b({}){end}\"),", rule.pattern())?;
    }
    out.push_str(PLUGIN_TAIL);
    Ok(())
}

const PLUGIN_HEAD: &str = r#""""Finds keys of a Chatelaine installation; what has a checksum is verified."""

import re
import zlib

from detect_secrets.plugins.base import RegexBasedDetector

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def checksum(text):
    rest, out = zlib.crc32(text.encode("ascii")), ""
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        out = DIGITS[digit] + out
    return out


class ChatelaineDetector(RegexBasedDetector):
    secret_type = "Chatelaine credential"

    denylist = [
"#;

const PLUGIN_TAIL: &str = r#"    ]

    def analyze_string(self, string, **kwargs):
        for found in super().analyze_string(string, **kwargs):
            body = found.rsplit("_", 1)[-1]
            if found.startswith("whsec_") or checksum(body[:-6]) == body[-6:]:
                yield found
"#;

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Scanner; 4] = [Scanner::Gitleaks, Scanner::Kingfisher, Scanner::Trufflehog, Scanner::DetectSecrets];

    #[test]
    fn every_secret_prefix_has_a_rule_for_every_scanner_and_the_widget_s_has_none() {
        let branded = Prefixes { secret_live: "acme_live_".into(), widget: "acme_page_".into(), ..Prefixes::default() };
        for scanner in ALL {
            let text = rules(&branded, scanner);
            for prefix in ["acme_live_", "sk_test_", "fln_live_", "fln_test_", "cf_", "cht_", "whsec_"] {
                assert!(text.contains(&format!("({prefix}")), "{scanner:?}: {prefix}");
            }
            assert!(!text.contains("sk_live_") && !text.contains("acme_page_"), "{scanner:?}");
        }
    }
}
