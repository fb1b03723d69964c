//! Getting in, proving again who one is, and the own account, by pages.

use std::{sync::Arc, time::Duration};

use ambient::{Clock, ManualClock, Millis, SystemClock};
use serde_json::json;
use testkit::{Answer, Backend, Options, PASSWORD, Persona, World};

use super::{leads_to, page, says, submit};
use crate::second_factor::{code_of, code_of_text};

on_both! {
    a_person_signs_in_and_goes_on_to_where_it_wanted;
    what_is_wrong_at_signing_in_says_nothing_of_who_is_there;
    a_person_changes_its_name_and_password;
    a_person_signs_its_browsers_out;
}

on_each! {
    an_app_is_set_up_asked_for_and_given_up;
    what_is_dangerous_leads_to_the_page_that_asks_again;
}

fn browser(world: &World) -> Persona {
    world.anonymous().at(Some(world.server().url()))
}

async fn sign_in(world: &World, fields: &[(&str, &str)]) -> Answer {
    submit(&browser(world), "/_/sign-in", fields).await
}

async fn a_person_signs_in_and_goes_on_to_where_it_wanted(world: &World) {
    let _ = world.member("ada", "member").await;
    let asked = page(&browser(world), "/_/account?done=saved").await;
    let form = leads_to(&asked);
    assert_eq!(form, "/_/sign-in?next=%2F_%2Faccount%3Fdone%3Dsaved");
    let shown = page(&browser(world), &form).await.expect(200);
    assert!(shown.text().contains("name=\"next\" value=\"/_/account?done=saved\""), "{}", shown.text());
    assert!(!shown.text().contains("name=\"code\""), "whoever has none is not asked for one");
    let fields = [("email", " ADA@people.example "), ("password", PASSWORD), ("next", "/_/account?done=saved")];
    let answer = sign_in(world, &fields).await;
    assert_eq!(leads_to(&answer), "/_/account?done=saved");
    let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
    let home = browser(world).request("GET", "/_/account").header("cookie", &cookie).send().await.expect(200);
    assert!(says(&home, "ada@people.example") && says(&home, "This one"), "{}", home.text());
    for elsewhere in ["https://evil.example/", "//evil.example", "/v1/me", "/_/\\evil"] {
        let answer =
            sign_in(world, &[("email", "ada@people.example"), ("password", PASSWORD), ("next", elsewhere)]).await;
        assert_eq!(leads_to(&answer), "/_/", "{elsewhere}");
        let shown = page(&browser(world), &format!("/_/sign-in?next={elsewhere}")).await.expect(200);
        assert!(shown.text().contains("name=\"next\" value=\"/_/\""), "{elsewhere}");
    }
}

async fn what_is_wrong_at_signing_in_says_nothing_of_who_is_there(world: &World) {
    let _ = world.member("ada", "member").await;
    let wrong = sign_in(world, &[("email", "ada@people.example"), ("password", "a wrong password")]).await.expect(401);
    let nobody = sign_in(world, &[("email", "bob@people.example"), ("password", "a wrong password")]).await.expect(401);
    assert!(says(&wrong, "The address or the password is wrong"), "{}", wrong.text());
    assert_eq!(wrong.text().replace("ada@", "bob@"), nobody.text(), "but for the address that was typed in");
    assert!(wrong.text().contains("value=\"ada@people.example\"") && !wrong.text().contains("a wrong password"));
    assert_eq!((wrong.header("set-cookie"), nobody.header("set-cookie")), ("", ""));
    let scripted = sign_in(world, &[("email", "\"><script>alert(1)</script>"), ("password", "x")]).await;
    assert!(!scripted.text().contains("<script>"), "{}", scripted.text());
}

async fn a_person_changes_its_name_and_password(world: &World) {
    const NEXT: &str = "another few easy words";
    let ada = world.member("ada", "member").await;
    let other = world.sign_in("ada@people.example").await;
    assert_eq!(leads_to(&submit(&ada, "/_/account/name", &[("name", "Ada L.")]).await), "/_/account?done=saved");
    let shown = page(&ada, "/_/account?done=saved").await.expect(200);
    assert!(says(&shown, "Saved.") && shown.text().contains("value=\"Ada L.\""), "{}", shown.text());
    let empty = submit(&ada, "/_/account/name", &[("name", " ")]).await.expect(422);
    assert!(empty.text().contains("aria-invalid=\"true\""), "{}", empty.text());
    let change = async |current: &str, new: &str, again: &str| {
        let fields = [("current_password", current), ("new_password", new), ("again", again)];
        submit(&ada, "/_/account/password", &fields).await
    };
    for (current, new, again, says_so) in [
        ("wrong", NEXT, NEXT, "is not your password"),
        (PASSWORD, "short", "short", "15 characters"),
        (PASSWORD, NEXT, "something else", "not the same"),
    ] {
        let answer = change(current, new, again).await.expect(422);
        assert!(says(&answer, says_so), "{says_so}: {}", answer.text());
        assert!(!answer.text().contains(NEXT) && !answer.text().contains(PASSWORD), "no page repeats a password");
    }
    let _ = other.get("/v1/me").await.expect(200);
    assert_eq!(leads_to(&change(PASSWORD, NEXT, NEXT).await), "/_/account?done=password-changed");
    let _ = other.get("/v1/me").await.refused(401, "INVALID_TOKEN");
    let _ = page(&ada, "/_/account").await.expect(200);
}

async fn a_person_signs_its_browsers_out(world: &World) {
    let (ada, bob) = (world.member("ada", "member").await, world.member("bob", "owner").await);
    let second = world.sign_in("ada@people.example").await;
    let list = second.get("/v1/sign-ins").await.expect(200).data();
    let other = list.as_array().unwrap().iter().find(|row| row["is_current"] == false).unwrap();
    let path = format!("/_/account/sign-ins/{}/revoke", other["id"].as_str().unwrap());
    let _ = submit(&bob, &path, &[]).await.expect(404);
    let _ = ada.get("/v1/me").await.expect(200);
    assert_eq!(leads_to(&submit(&second, &path, &[]).await), "/_/account?done=signed-out");
    let _ = ada.get("/v1/me").await.refused(401, "INVALID_TOKEN");
}

async fn still(backend: Backend) -> (World, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Millis::from_seconds(SystemClock::new().now().seconds())));
    (World::with(backend, Options { clock: clock.clone(), ..Options::default() }).await, clock)
}

async fn an_app_is_set_up_asked_for_and_given_up(backend: Backend) {
    let (world, clock) = still(backend).await;
    let ada = world.member("ada", "member").await;
    let begun = submit(&ada, "/_/account/codes", &[]).await.expect(200);
    let text = begun.text();
    assert!(text.contains("<svg class=\"qr\"") && text.contains("otpauth://totp/"), "{text}");
    let secret = text.split("id=\"totp-secret\"").nth(1).and_then(|rest| rest.split(['>', '<']).nth(1)).unwrap().trim();
    let wrong = submit(&ada, "/_/account/codes/confirm", &[("code", "12")]).await.expect(422);
    assert!(says(&wrong, "is not what the app shows now") && !wrong.text().contains(secret), "shown once");
    let code = code_of_text(&world, secret);
    let made = submit(&ada, "/_/account/codes/confirm", &[("code", &code)]).await.expect(200);
    let codes = made.text();
    let codes = codes.split("id=\"recovery-codes\"").nth(1).and_then(|rest| rest.split(['>', '<']).nth(1)).unwrap();
    let codes: Vec<&str> = codes.split_whitespace().collect();
    assert_eq!(codes.len(), 10, "{codes:?}");
    let shown = page(&ada, "/_/account").await.expect(200);
    assert!(
        says(&shown, "10 recovery codes are left")
            && !shown.text().contains(codes[0])
            && !shown.text().contains(secret)
    );
    // The form asks for the password again, and for the code.
    let (email, password) = (("email", "ada@people.example"), ("password", PASSWORD));
    let second = sign_in(&world, &[email, password]).await.expect(401);
    assert!(second.text().contains("name=\"code\"") && second.header("set-cookie").is_empty(), "{}", second.text());
    assert!(!second.text().contains(PASSWORD), "nothing that is worth something is in the page");
    let wrong = sign_in(&world, &[email, password, ("code", "000000")]).await.expect(401);
    assert!(says(&wrong, "the password or the code is wrong") && wrong.text().contains("name=\"code\""));
    clock.advance(Duration::from_secs(60));
    let code = code_of_text(&world, secret);
    assert_eq!(leads_to(&sign_in(&world, &[email, password, ("code", &code)]).await), "/_/");
    assert_eq!(leads_to(&sign_in(&world, &[email, password, ("code", codes[3])]).await), "/_/");
    let confirmed = submit(&ada, "/_/confirm", &[("code", codes[4]), ("next", "/_/account")]).await;
    assert_eq!(leads_to(&confirmed), "/_/account");
    let ada = ada.after(&confirmed);
    let renewed = submit(&ada, "/_/account/codes/recovery", &[]).await.expect(200);
    assert!(!renewed.text().contains(codes[5]), "others take their place");
    assert_eq!(leads_to(&submit(&ada, "/_/account/codes/end", &[]).await), "/_/account?done=codes-ended");
    assert_eq!(leads_to(&sign_in(&world, &[email, password]).await), "/_/");
    world.end().await;
}

async fn what_is_dangerous_leads_to_the_page_that_asks_again(backend: Backend) {
    let (world, clock) = still(backend).await;
    let mut ada = world.member("ada", "owner").await;
    clock.advance(Duration::from_secs(15 * 60));
    // What is exported comes after it, and what was typed stays.
    let export = page(&ada, "/_/audit-log/export?seen=live").await;
    assert_eq!(leads_to(&export), "/_/confirm?next=%2F_%2Faudit-log%2Fexport%3Fseen%3Dlive");
    let again = submit(&ada, "/_/api-keys", &[("name", "Typed")]).await.expect(403);
    assert!(says(&again, "Confirm in a new tab") && again.text().contains("value=\"Typed\""), "{}", again.text());
    assert!(!again.text().contains("/v1/me/confirm"), "a page speaks of pages: {}", again.text());
    let done = page(&ada, "/_/confirm?done=confirmed").await.expect(200);
    assert!(says(&done, "Go back to the tab") && !done.text().contains("name=\"password\""), "{}", done.text());
    let began = submit(&ada, "/_/account/codes", &[]).await;
    assert_eq!(leads_to(&began), "/_/confirm?next=/_/account");
    let shown = page(&ada, "/_/confirm?next=/_/account").await.expect(200);
    assert!(shown.text().contains("name=\"next\" value=\"/_/account\"") && !shown.text().contains("name=\"code\""));
    let wrong = submit(&ada, "/_/confirm", &[("password", "a wrong one"), ("next", "/_/account")]).await.expect(422);
    assert!(says(&wrong, "is not your password") && !wrong.text().contains("a wrong one"), "{}", wrong.text());
    let _ = ada.post("/v1/api-keys", &json!({"name": "K"})).await.refused(403, "CONFIRMATION_REQUIRED");
    for (next, led) in
        [("https://evil.example", "/_/"), ("", "/_/confirm?done=confirmed"), ("/_/account", "/_/account")]
    {
        let confirmed = submit(&ada, "/_/confirm", &[("password", PASSWORD), ("next", next)]).await;
        assert_eq!(leads_to(&confirmed), led);
        let _ = ada.get("/v1/me").await.refused(401, "INVALID_TOKEN");
        ada = ada.after(&confirmed);
    }
    let _ = ada.post("/v1/api-keys", &json!({"name": "K"})).await.expect(201);
    let setup = ada.post("/v1/me/totp", &json!({})).await.expect(200).data();
    assert_eq!(code_of(&world, &setup).len(), 6);
    world.end().await;
}
