//! Does the time of a refusal tell something about the key? In the process by a t-test over a million comparisons (after dudect, Reparaz
//! et al. 2017), and over HTTP by medians. Driven by `bench/flat`, which reads a JSON line for each question.

use std::{
    hint::black_box,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use ambient::{OsRandom, Random};
use anyhow::{Context, ensure};
use bench::Options;
use credential::StaticKey;
use serde_json::json;

/// As long as `openssl rand -hex 20` makes it.
const KEY_BYTES: usize = 40;
/// Texts of each class, and keys, so that where one of them lies in memory is no difference between classes.
const COPIES: usize = 64;
/// So many percent of the measurements are looked at, the fastest: interrupts are slow and say nothing.
const CROPS_PERCENT: [usize; 5] = [100, 99, 95, 90, 50];

fn main() -> anyhow::Result<()> {
    let options = Options::from_args(&["mode", "measurements", "address", "key", "requests"])?;
    match options.require::<String>("mode")?.as_str() {
        "process" => in_process(options.get("measurements", 1_000_000)?),
        "http" => over_http(&options.require::<String>("address")?, &options.require::<String>("key")?, &options),
        other => anyhow::bail!("--mode {other} is neither process nor http"),
    }
}

/// Bytes and numbers to draw from.
struct Draw(Vec<u8>, usize);

impl Draw {
    fn new() -> anyhow::Result<Self> {
        let mut bytes = vec![0; 1 << 20];
        OsRandom.fill(&mut bytes)?;
        Ok(Self(bytes, 0))
    }

    fn byte(&mut self) -> anyhow::Result<u8> {
        if self.1 == self.0.len() {
            *self = Self::new()?;
        }
        self.1 += 1;
        Ok(self.0[self.1 - 1])
    }

    fn text(&mut self, length: usize) -> anyhow::Result<Vec<u8>> {
        (0..length).map(|_| Ok(b'a' + self.byte()? % 26)).collect()
    }
}

/// `right` with one byte changed.
fn wrong_at(right: &[u8], index: usize) -> Vec<u8> {
    let mut text = right.to_vec();
    text[index] ^= 1;
    text
}

/// What one question compares: the same work, done with one of two classes.
struct Class {
    keys: Vec<(StaticKey, Vec<u8>)>,
    texts: Vec<Vec<u8>>,
}

/// What an attacker would hope for: it stops at the first difference.
#[inline(never)]
fn naive(expected: &[u8], presented: &[u8]) -> bool {
    expected.len() == presented.len() && expected.iter().zip(presented).all(|(a, b)| black_box(*a) == black_box(*b))
}

#[expect(clippy::print_stdout, reason = "a script reads it")]
fn in_process(measurements: usize) -> anyhow::Result<()> {
    let mut draw = Draw::new()?;
    let right = draw.text(KEY_BYTES)?;
    let keys = |text: &[u8]| -> anyhow::Result<Vec<(StaticKey, Vec<u8>)>> {
        (0..COPIES).map(|_| Ok((StaticKey::new(text, &OsRandom)?, text.to_vec()))).collect()
    };
    let many = |text: Vec<u8>| vec![text; COPIES];
    let (first, last) = (wrong_at(&right, 0), wrong_at(&right, KEY_BYTES - 1));
    let mut half = draw.text(KEY_BYTES)?;
    half[..KEY_BYTES / 2].copy_from_slice(&right[..KEY_BYTES / 2]);
    let lengths = [0, 1, KEY_BYTES - 1, KEY_BYTES, KEY_BYTES + 1, 4 * KEY_BYTES, 1024, 4096];
    let others =
        lengths.iter().cycle().take(COPIES).map(|length| draw.text(*length)).collect::<anyhow::Result<Vec<_>>>()?;
    let with = |texts: Vec<Vec<u8>>| anyhow::Ok(Class { keys: keys(&right)?, texts });
    let long = Class {
        keys: keys(&[right.clone(), right.clone(), right.clone(), right.clone()].concat())?,
        texts: others.clone(),
    };
    let questions = [
        ("wrong at the first byte / at the last byte", [with(many(first.clone()))?, with(many(last))?]),
        ("wrong at the first byte / behind a right half", [with(many(first.clone()))?, with(many(half))?]),
        ("wrong at the first byte / right", [with(many(first))?, with(many(right.clone()))?]),
        ("texts of 0 to 4096 bytes, key of 40 / of 160 bytes", [with(others)?, long]),
    ];
    let mut noisy = Draw::new()?;
    for (name, classes) in &questions {
        for (control, compare) in [
            (false, (|key: &(StaticKey, Vec<u8>), text: &[u8]| key.0.matches(text)) as fn(&_, &_) -> bool),
            (true, |key: &(StaticKey, Vec<u8>), text: &[u8]| naive(&key.1, text)),
        ] {
            let samples = measure(classes, compare, measurements, &mut noisy)?;
            let (t, medians) = judge(&samples);
            println!("{}", json!({"question": name, "control": control, "t": t, "nanoseconds": medians}));
        }
    }
    Ok(())
}

/// Draws a class for each measurement, so that whatever else the machine does meets both alike.
#[expect(clippy::disallowed_methods, reason = "real time is what is measured")]
fn measure(
    classes: &[Class; 2],
    compare: fn(&(StaticKey, Vec<u8>), &[u8]) -> bool,
    measurements: usize,
    draw: &mut Draw,
) -> anyhow::Result<Vec<(bool, f64)>> {
    let mut samples = Vec::with_capacity(measurements);
    let mut text = Vec::with_capacity(4096);
    for round in 0..measurements + measurements / 100 {
        let (is_second, copy) = (draw.byte()? & 1 == 1, usize::from(draw.byte()?) % COPIES);
        let class = &classes[usize::from(is_second)];
        // Always the same place: that of the class's own text would be a difference.
        text.clear();
        text.extend_from_slice(&class.texts[copy]);
        let begin = Instant::now();
        let _ = black_box(compare(black_box(&class.keys[copy]), black_box(&text)));
        let took = begin.elapsed();
        if round >= measurements / 100 {
            samples.push((is_second, took.as_nanos() as f64));
        }
    }
    Ok(samples)
}

/// The largest of Welch's t over the crops, and the medians of both classes.
fn judge(samples: &[(bool, f64)]) -> (f64, [f64; 2]) {
    let mut sorted: Vec<f64> = samples.iter().map(|(_, took)| *took).collect();
    sorted.sort_by(f64::total_cmp);
    let mut worst = 0.0_f64;
    for percent in CROPS_PERCENT {
        let limit = sorted[(sorted.len() - 1) * percent / 100];
        let of = |wanted: bool| {
            let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
            for (_, took) in samples.iter().filter(|(class, took)| *class == wanted && *took <= limit) {
                count += 1.0;
                let delta = took - mean;
                mean += delta / count;
                squares += delta * (took - mean);
            }
            (mean, squares / (count - 1.0_f64) / count)
        };
        let ((a, variance_a), (b, variance_b)) = (of(false), of(true));
        let t = (a - b) / (variance_a + variance_b).sqrt();
        // Without any spread in what is left there is nothing to be judged by.
        if t.is_finite() && t.abs() > worst.abs() {
            worst = t;
        }
    }
    let median_of =
        |wanted: bool| median(samples.iter().filter(|(class, _)| *class == wanted).map(|(_, took)| *took).collect());
    (worst, [median_of(false), median_of(true)])
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

#[expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a script reads it; what is measured is real time")]
fn over_http(address: &str, key: &str, options: &Options) -> anyhow::Result<()> {
    let requests: usize = options.get("requests", 20_000)?;
    let right = key.as_bytes();
    let classes = [
        ("wrong at the first byte", wrong_at(right, 0)),
        ("wrong at the last byte", wrong_at(right, right.len() - 1)),
        ("shorter by 8", right[..right.len() - 8].to_vec()),
        ("longer by 8", [right, b"01234567"].concat()),
    ];
    let mut draw = Draw::new()?;
    let mut connection = Connection::open(address)?;
    let mut took: [Vec<f64>; 4] = Default::default();
    for round in 0..requests + requests / 10 {
        let class = usize::from(draw.byte()? % 4);
        let begin = Instant::now();
        let status = connection.ask(&classes[class].1)?;
        let elapsed = begin.elapsed();
        ensure!(status == 401, "a wrong key was answered with {status}");
        if round >= requests / 10 {
            took[class].push(elapsed.as_nanos() as f64 / 1000.0);
        }
    }
    ensure!(connection.ask(right)? == 400, "the right key passes, and an empty body is refused after it");
    for ((name, _), took) in classes.iter().zip(took) {
        println!("{}", json!({"class": name, "requests": took.len(), "microseconds": median(took)}));
    }
    Ok(())
}

struct Connection(BufReader<TcpStream>, String);

impl Connection {
    fn open(address: &str) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self(BufReader::new(socket), address.to_owned()))
    }

    /// Sends a message without a body under `key`; the status of the answer, which is read whole.
    fn ask(&mut self, key: &[u8]) -> anyhow::Result<u16> {
        let mut request =
            format!("POST /v1/chat HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nX-Api-Key: ", self.1).into_bytes();
        request.extend_from_slice(key);
        request.extend_from_slice(b"\r\n\r\n");
        self.0.get_mut().write_all(&request)?;
        let (mut line, mut status, mut length) = (String::new(), None, 0);
        loop {
            line.clear();
            ensure!(self.0.read_line(&mut line)? > 0, "the server closed the connection");
            let head = line.trim_end();
            if head.is_empty() {
                break;
            }
            match head.split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse()?,
                Some(_) => {}
                None => status = head.split(' ').nth(1).and_then(|status| status.parse().ok()),
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        status.context("no status")
    }
}
