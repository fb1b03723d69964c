"""Looks for keys with other people's scanners and the rules that Chatelaine prints for them: {binary, text} as JSON on
stdin; what each of them found as JSON on stdout. gitleaks' and trufflehog's rules are read without those two programs:
the first by kingfisher, which takes gitleaks' files, the second as what its documentation says they are."""

import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import yaml

asked = json.load(sys.stdin)
here = pathlib.Path(sys.executable).parent


def rules(scanner):
    return subprocess.run([asked["binary"], "scan", "rules", "--for", scanner], check=True, capture_output=True).stdout.decode()


def kingfisher(name, text, folder, target):
    path = folder / name
    path.mkdir()
    (path / f"chatelaine.{name}").write_text(text)
    command = [here / "kingfisher", "scan", target, "--rules-path", path, "--load-builtins", "false", "--no-validate"]
    command += ["--no-update-check", "--no-rule-cache", "--format", "json"]
    ran = subprocess.run(command, capture_output=True, cwd=folder)
    # 200 and more: something was found.
    if ran.returncode not in (0, 200, 205):
        sys.exit(f"kingfisher: {ran.returncode} {ran.stderr.decode()}")
    found = json.loads(ran.stdout.decode().splitlines()[0])["findings"]
    return sorted(one["finding"]["snippet"] for one in found)


def trufflehog(text):
    found = set()
    for detector in yaml.safe_load(text)["detectors"]:
        assert {"name", "keywords", "regex"} <= detector.keys(), detector
        if any(word.lower() in asked["text"].lower() for word in detector["keywords"]):
            for pattern in detector["regex"].values():
                found |= {match.group(1) for match in re.finditer(pattern, asked["text"])}
    return sorted(found)


def detect_secrets(text, folder, target):
    plugin = folder / "plugin.py"
    plugin.write_text(text)
    command = [here / "detect-secrets", "scan", "--all-files", "--no-verify", "-p", plugin, target]
    ran = subprocess.run(command, check=True, capture_output=True, cwd=folder)
    results = [one for file in json.loads(ran.stdout)["results"].values() for one in file]
    # It writes hashes: of all words, which was it?
    words = {hashlib.sha1(word.encode()).hexdigest(): word for word in re.split(r"[\s\"';=]+", asked["text"])}
    ours = [one for one in results if one["type"] == "Chatelaine credential"]
    return sorted(words.get(one["hashed_secret"], "?") for one in ours)


with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    target = folder / "tree"
    target.mkdir()
    (target / "app.js").write_text(asked["text"])
    shown = {
        "gitleaks": kingfisher("toml", rules("gitleaks"), folder, target),
        "kingfisher": kingfisher("yml", rules("kingfisher"), folder, target),
        "trufflehog": trufflehog(rules("trufflehog")),
        "detect-secrets": detect_secrets(rules("detect-secrets"), folder, target),
    }
print(json.dumps(shown))
