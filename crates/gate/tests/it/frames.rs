//! A page in our own frame says who embeds it (decision 0012).

use crate::world::{OWN, World};

const CUSTOMER: &str = "https://customer.example";
const EVIL: &str = "https://evil.example";
const BODY: &str = r#"{"message":"hello"}"#;

#[tokio::test]
async fn a_widget_key_in_our_frame_works_where_its_list_names_the_embedding_page() {
    let world = World::new(|_| None).await;
    let key = format!("Bearer {}", world.widget.1);
    let open = async |list: &[(&str, &str)]| {
        let mut headers = vec![("authorization", key.as_str())];
        headers.extend_from_slice(list);
        world.send("POST", "/v1/chat/sessions", &headers, BODY).await
    };
    let embedded = open(&[("origin", OWN), ("x-embedding-origin", CUSTOMER)]).await;
    let told = embedded.json();
    assert_eq!((embedded.status, &told["bound"], &told["page"]), (200, &CUSTOMER.into(), &CUSTOMER.into()));
    let reached = world.reached();
    for refused in [
        &[("origin", OWN), ("x-embedding-origin", EVIL)][..],
        &[("origin", OWN), ("x-embedding-origin", "null")],
        &[("origin", OWN), ("x-embedding-origin", "")],
        &[("origin", OWN), ("x-embedding-origin", CUSTOMER), ("x-embedding-origin", CUSTOMER)],
        &[("origin", OWN)],
        &[("origin", EVIL), ("x-embedding-origin", CUSTOMER)],
        &[("origin", "null"), ("x-embedding-origin", CUSTOMER)],
        &[("x-embedding-origin", CUSTOMER)],
    ] {
        let answer = open(refused).await;
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (403, &"ORIGIN_NOT_ALLOWED".into()),
            "{refused:?}"
        );
    }
    assert_eq!(world.reached(), reached, "nothing was done");
    let direct = open(&[("origin", CUSTOMER), ("x-embedding-origin", EVIL)]).await;
    assert_eq!((direct.status, &direct.json()["bound"]), (200, &CUSTOMER.into()), "the page itself; not looked at");
}

#[tokio::test]
async fn a_token_bound_to_the_embedding_page_is_read_from_the_frame_and_from_nowhere_else() {
    let world = World::new(|_| None).await;
    let (path, token) = world.session(CUSTOMER).await;
    let read = async |list: &[(&str, &str)]| {
        let mut headers = vec![("authorization", token.as_str()), ("host", "chat.example")];
        headers.extend_from_slice(list);
        world.send("GET", &path, &headers, "").await.status
    };
    let embedded = ("x-embedding-origin", CUSTOMER);
    assert_eq!(read(&[("origin", CUSTOMER)]).await, 200);
    assert_eq!(read(&[("origin", OWN), embedded]).await, 200);
    assert_eq!(read(&[("sec-fetch-site", "same-origin"), embedded]).await, 200, "a GET without an Origin");
    assert_eq!(read(&[("sec-fetch-site", "cross-site"), embedded]).await, 403);
    assert_eq!(read(&[("origin", OWN)]).await, 403);
    assert_eq!(read(&[("origin", EVIL), embedded]).await, 403);
    assert_eq!(read(&[("origin", OWN), ("x-embedding-origin", EVIL)]).await, 403);
    assert_eq!(read(&[("origin", OWN), ("x-embedding-origin", "https://shop.customer.example")]).await, 403);
    assert_eq!(read(&[("origin", OWN), embedded, embedded]).await, 403);
    assert_eq!(read(&[embedded]).await, 403, "no page at all");
}

#[tokio::test]
async fn a_servers_key_in_our_frame_on_somebodys_page_is_one_in_a_browser() {
    let world = World::new(|_| None).await;
    let key = format!("Bearer {}", world.secret);
    let open = async |list: &[(&str, &str)]| {
        let mut headers = vec![("authorization", key.as_str())];
        headers.extend_from_slice(list);
        world.send("POST", "/v1/chat/sessions", &headers, BODY).await
    };
    assert_eq!(open(&[("origin", OWN)]).await.status, 200, "our own page");
    assert_eq!(open(&[("origin", OWN), ("x-embedding-origin", OWN)]).await.status, 200, "our frame on our own page");
    let same = [("sec-fetch-site", "same-origin"), ("host", "chat.example"), ("x-embedding-origin", CUSTOMER)];
    let reached = world.reached();
    for embedded in [
        &[("origin", OWN), ("x-embedding-origin", CUSTOMER)][..],
        &[("origin", OWN), ("x-embedding-origin", "null")],
        &[("origin", OWN), ("x-embedding-origin", "")],
        &[("origin", OWN), ("x-embedding-origin", OWN), ("x-embedding-origin", OWN)],
        &same,
    ] {
        let answer = open(embedded).await;
        let code = answer.json()["error"]["code"].clone();
        assert_eq!((answer.status, code), (403, "SECRET_KEY_IN_BROWSER".into()), "{embedded:?}");
    }
    assert_eq!(world.reached(), reached, "nothing was done");
}
