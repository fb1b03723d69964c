//! The test model server, for a shell: `upstream [--listen ADDR:PORT] [--delay-ms N] [--tokens N]`.

use std::time::Duration;

use testkit::upstream::{Options, Upstream};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "its URL is what a script waits for")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut options = Options { listen: ([127, 0, 0, 1], 9999).into(), ..Options::default() };
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--listen" => options.listen = value.parse()?,
            "--delay-ms" => options.delay = Duration::from_millis(value.parse()?),
            "--tokens" => options.tokens = Some(value.parse()?),
            _ => return Err(format!("unknown option {name}; there are --listen, --delay-ms and --tokens").into()),
        }
    }
    let upstream = Upstream::start_with(options).await?;
    println!("{}", upstream.url());
    upstream.serve_forever().await;
    Ok(())
}
