//! The widget's files and `/demo`, as a browser gets them.

use testkit::{Answer, World};

on_both! {
    the_script_is_for_every_page_and_is_kept;
    a_version_has_a_name_for_good;
    the_module_for_runs_is_for_every_page_and_is_kept;
    the_demo_embeds_the_script_and_knows_no_key;
}

const SCRIPT: &str = "/widget/chat-widget.js";

async fn script(world: &World, headers: &[(&str, &str)]) -> Answer {
    let request = headers.iter().fold(world.client().get(SCRIPT), |request, (name, value)| request.header(name, value));
    request.send().await
}

async fn the_script_is_for_every_page_and_is_kept(world: &World) {
    let plain = script(world, &[]).await.expect(200);
    assert_eq!(plain.header("content-type"), "text/javascript; charset=utf-8");
    assert_eq!(plain.header("cache-control"), "public, max-age=300");
    assert_eq!(plain.header("cross-origin-resource-policy"), "cross-origin");
    assert_eq!(plain.header("access-control-allow-origin"), "*");
    assert_eq!(plain.header("x-content-type-options"), "nosniff");
    assert_eq!((plain.header("vary"), plain.header("content-encoding")), ("Accept-Encoding", ""));
    assert!(plain.text().starts_with("(function(){\"use strict\";\n"));
    let small = script(world, &[("accept-encoding", "br, gzip;q=0.8")]).await.expect(200);
    assert_eq!((small.header("content-encoding"), small.header("vary")), ("gzip", "Accept-Encoding"));
    assert!(small.body.starts_with(&[0x1f, 0x8b]) && small.body.len() < plain.body.len() / 2);
    let refused = script(world, &[("accept-encoding", "gzip;q=0")]).await.expect(200);
    assert_eq!(refused.header("content-encoding"), "", "who refuses gzip gets none");

    let (tag, small_tag) = (plain.header("etag").to_owned(), small.header("etag").to_owned());
    assert!(tag.starts_with('"') && tag != small_tag, "two forms, two tags: {tag} {small_tag}");
    let kept = script(world, &[("if-none-match", &format!("\"other\", W/{tag}"))]).await.expect(304);
    assert!(kept.body.is_empty() && kept.header("etag") == tag && kept.header("cache-control").contains("300"));
    let kept = script(world, &[("if-none-match", &small_tag), ("accept-encoding", "gzip")]).await.expect(304);
    assert!(kept.body.is_empty() && kept.header("vary") == "Accept-Encoding");
    let _ = script(world, &[("if-none-match", "\"other\"")]).await.expect(200);
    let stray = script(world, &[("authorization", "Bearer sk_live_nonsense"), ("origin", "https://a.example")]).await;
    assert_eq!(stray.expect(200).body, plain.body, "no credential is looked at");
}

async fn a_version_has_a_name_for_good(world: &World) {
    let newest = script(world, &[]).await.expect(200);
    let name = format!("/widget/chat-widget-{}.js", newest.header("etag").trim_matches('"'));
    let pinned = world.client().get(&name).send().await.expect(200);
    assert_eq!(pinned.header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!((&pinned.body, pinned.header("access-control-allow-origin")), (&newest.body, "*"));
    for absent in ["chat-widget-0000000000000000.js", "chat-widget-.js", "other.js", "..%2fsecret", "chat-widget"] {
        let answer = world.client().get(&format!("/widget/{absent}")).send().await.refused(404, "NOT_FOUND");
        assert_eq!(answer.header("cache-control"), "no-store", "{absent}");
    }
}

async fn the_module_for_runs_is_for_every_page_and_is_kept(world: &World) {
    let module =
        world.client().get("/widget/chat-run.js").header("origin", "https://a.example").send().await.expect(200);
    // A module is asked for by CORS, and refused under any other type.
    assert_eq!(module.header("content-type"), "text/javascript; charset=utf-8");
    assert_eq!(module.header("access-control-allow-origin"), "*");
    assert_eq!(module.header("cache-control"), "public, max-age=300");
    assert!(module.text().contains("export default") && module.text().contains("/api/participant/ws"));
}

async fn the_demo_embeds_the_script_and_knows_no_key(world: &World) {
    let page = world.client().get("/demo").send().await.expect(200);
    let policy = page.header("content-security-policy");
    for rule in ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe") && page.header("x-frame-options") == "DENY");
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    let text = page.text();
    assert!(text.contains(&format!("data-server=\"{}\"", world.server().url())), "{text}");
    let links: Vec<&str> = text.split('"').filter(|part| part.starts_with("/widget/")).collect();
    assert!(links.len() >= 3, "{links:?}");
    for link in links {
        let _ = world.client().get(link).send().await.expect(200);
    }
    for file in ["/widget/frame.js", "/widget/demo.js", "/widget/demo.css"] {
        assert_eq!(world.client().get(file).send().await.expect(200).header("cache-control"), "public, max-age=300");
    }
}
