//! The chat widget's script, and the module that it imports for runs: their parts, joined once at the start.

use std::io::Write as _;

use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use flate2::{Compression, write::GzEncoder};
use gate::{Problem, Raw, RequestContext};
use sha2::{Digest, Sha256, Sha384};

macro_rules! part {
    ($folder:literal, $name:literal) => {
        ($name, include_str!(concat!("../", $folder, "/", $name)))
    };
}

/// Names and texts.
type Parts = &'static [(&'static str, &'static str)];

/// In the order in which they are joined.
const PARTS: Parts = &[
    part!("parts", "10-words.js"),
    part!("parts", "20-style.js"),
    part!("parts", "30-markdown.js"),
    part!("parts", "40-wire.js"),
    part!("parts", "50-talk.js"),
    part!("parts", "60-view.js"),
    part!("parts", "70-element.js"),
    part!("parts", "80-page.js"),
];
const RUN_PARTS: Parts = &[
    part!("run", "10-words.js"),
    part!("run", "20-style.js"),
    part!("run", "30-fields.js"),
    part!("run", "40-link.js"),
    part!("run", "50-run.js"),
];
/// What the hosted survey's page solves a challenge with: `solve(nonce, difficulty)`.
const SOLVER: &str = include_str!("../../crates/participant/src/page/challenge.js");

/// As little as a page can be asked to wait for before it knows of a new version.
const NEWEST: &str = "public, max-age=300";
const FOR_GOOD: &str = "public, max-age=31536000, immutable";

/// The script, as it is and compressed. Clones share.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    plain: Bytes,
    gzip: Bytes,
    /// Of the plain text: its name among versions.
    hash: String,
}

impl Script {
    /// One function around all parts, so that a page sees no name of theirs.
    pub(crate) fn build() -> Self {
        Self::new(format!("(function(){{\"use strict\";\n{}}})();\n", join(PARTS.iter().map(|(_, text)| *text))))
    }

    /// The module that shows runs. Most pages never ask for it.
    pub(crate) fn build_run() -> Self {
        Self::new(join([SOLVER].into_iter().chain(RUN_PARTS.iter().map(|(_, text)| *text))))
    }

    fn new(text: String) -> Self {
        let gzip = compress(text.as_bytes());
        let hash = HEXLOWER.encode(&Sha256::digest(&text)[..8]);
        Self { plain: text.into(), gzip: gzip.into(), hash }
    }

    /// `chat-widget-{hash}.js`.
    pub(crate) fn pinned_name(&self) -> String {
        format!("chat-widget-{}.js", self.hash)
    }

    /// For the `integrity` attribute (Subresource Integrity).
    pub(crate) fn integrity(&self) -> String {
        format!("sha384-{}", BASE64.encode(&Sha384::digest(&self.plain)))
    }

    /// Under the name that stays.
    pub(crate) fn newest(&self, request: &RequestContext) -> Raw {
        self.answer(request, NEWEST)
    }

    /// Under the name of this version; no other version is here.
    pub(crate) fn pinned(&self, request: &RequestContext) -> Result<Raw, Problem> {
        let asked = request.param("file").unwrap_or_default();
        if asked == self.pinned_name() { Ok(self.answer(request, FOR_GOOD)) } else { Err(Problem::not_found()) }
    }

    fn answer(&self, request: &RequestContext, keep: &'static str) -> Raw {
        let (body, tag) = match request.accepts_gzip {
            true => (&self.gzip, format!("{}-gzip", self.hash)),
            false => (&self.plain, self.hash.clone()),
        };
        let raw = Raw::new("text/javascript; charset=utf-8", body.clone())
            .header("cache-control", keep)
            .header("vary", "Accept-Encoding")
            // A page under COEP may load it, and one that checks its hash asks by CORS.
            .header("cross-origin-resource-policy", "cross-origin")
            .header("access-control-allow-origin", "*")
            .tagged(&tag, request.if_none_match.as_deref());
        // Of a 304 there is nothing to decode.
        if request.accepts_gzip && !raw.not_modified { raw.header("content-encoding", "gzip") } else { raw }
    }
}

/// Lines that are a comment, what a line is indented by, and the ends of lines that a sign has ended before, go.
fn join<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut joined = String::new();
    for line in parts.into_iter().flat_map(str::lines).map(str::trim) {
        if !line.is_empty() && !line.starts_with("//") {
            joined.push_str(line);
            // A comment behind code would take the next line with it.
            if !line.ends_with([';', '{', ',', '(']) || line.contains("//") {
                joined.push('\n');
            }
        }
    }
    joined
}

/// gzip at its best. Writing to memory cannot fail; if it did, a client would see a broken file.
fn compress(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let _ = encoder.write_all(text);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::Read,
        path::Path,
        process::{Command, Stdio},
    };

    use super::*;

    /// The most that a page is asked to load, in bytes of gzip (issue "Browsers").
    const LIMIT: usize = 15 * 1024;
    /// The most that one with a run is asked to load besides.
    const RUN_LIMIT: usize = 12 * 1024;

    fn both() -> [(&'static str, Parts, Script); 2] {
        [("parts", PARTS, Script::build()), ("run", RUN_PARTS, Script::build_run())]
    }

    #[test]
    fn the_widget_is_small() {
        let script = Script::build();
        println!("widget: {} bytes, {} gzipped (limit {LIMIT})", script.plain.len(), script.gzip.len());
        assert!(script.gzip.len() <= LIMIT, "{} bytes", script.gzip.len());
        let run = Script::build_run();
        println!("runs: {} bytes, {} gzipped (limit {RUN_LIMIT})", run.plain.len(), run.gzip.len());
        assert!(run.gzip.len() <= RUN_LIMIT, "{} bytes", run.gzip.len());
    }

    #[test]
    fn every_part_is_in_it_in_the_order_of_their_names() {
        for (folder, parts, _) in both() {
            let mut files: Vec<String> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| name.ends_with(".js"))
                .collect();
            files.sort();
            let named: Vec<&str> = parts.iter().map(|(name, _)| *name).collect();
            assert_eq!(named, files);
        }
    }

    #[test]
    fn comments_and_indentation_go_and_nothing_else() {
        let joined = join(["// a\n  let a = \"//b\"; // c;\n", "\n\tif (a) {\n    a()\n  }\n  b(1,\n  2);\n//last"]);
        assert_eq!(joined, "let a = \"//b\"; // c;\nif (a) {a()\n}\nb(1,2);");
    }

    #[test]
    fn the_joined_script_parses_and_holds_nothing_that_a_strict_policy_refuses() {
        for (folder, _, script) in both() {
            let kind = if folder == "run" { "module" } else { "commonjs" };
            let mut node = Command::new("node")
                .args(["--check", &format!("--input-type={kind}"), "-"])
                .stdin(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("node, which the tests of the widget need");
            node.stdin.take().unwrap().write_all(&script.plain).unwrap();
            let output = node.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let text = std::str::from_utf8(&script.plain).unwrap();
            for refused in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"] {
                assert!(!text.contains(refused), "{refused}");
            }
            assert!(!text.contains("createElement(\"style\")") && !text.contains("createElement('style')"));
        }
    }

    #[test]
    fn what_is_compressed_is_the_script() {
        let script = Script::build();
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&script.gzip[..]).read_to_end(&mut text).unwrap();
        assert_eq!(text, script.plain);
        assert_eq!(script.hash.len(), 16);
        assert!(script.integrity().starts_with("sha384-") && script.integrity().len() == 7 + 64);
    }
}
