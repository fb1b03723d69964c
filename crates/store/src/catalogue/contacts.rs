//! Contacts and their tags: strictly of one environment, `$2`.

use super::{Statement, statements};

macro_rules! contact_columns {
    () => {
        "id, name, email, phone, external_id, custom_fields, created_at, updated_at, archived_at"
    };
}

/// What `$id` names has the tag `$n`, unless that is empty.
macro_rules! has_tag {
    ($tag:literal, $id:literal) => {
        concat!(
            " AND (",
            $tag,
            " = '' OR EXISTS (SELECT 1 FROM contact_tags WHERE workspace_id = $1 AND environment = $2 AND tag = ",
            $tag,
            " AND contact_id = ",
            $id,
            "))"
        )
    };
}

/// What every filter asks: `$3` archived, `$4` a part of `search`; empty when it is not asked. `LIKE` would compare the
/// whole part at each character.
macro_rules! stands {
    () => {
        "($3 = 'any' OR ($3 = 'false' AND archived_at IS NULL) OR ($3 = 'true' AND archived_at IS NOT NULL))
            AND ($4 = '' OR REPLACE(search, $4, '') <> search)"
    };
}

/// And what some ask besides: `$5` to `$9` tags, `$10` an address, `$11` an external id.
macro_rules! fits {
    () => {
        concat!(
            stands!(),
            has_tag!("$5", "id"),
            has_tag!("$6", "id"),
            has_tag!("$7", "id"),
            has_tag!("$8", "id"),
            has_tag!("$9", "id"),
            " AND ($10 = '' OR LOWER(email) = LOWER($10)) AND ($11 = '' OR external_id = $11)"
        )
    };
}

/// Every contact, through the index that holds all that is asked.
macro_rules! of_all {
    () => {
        concat!("FROM contacts WHERE workspace_id = $1 AND environment = $2 AND ", stands!())
    };
}
/// The same, for a search among many: what it finds is asked for its tags.
macro_rules! of_search {
    () => {
        concat!("FROM contacts WHERE workspace_id = $1 AND environment = $2 AND ", fits!())
    };
}
/// Whoever has the tag `$5`, and then `$6` to `$9`. The contact is a scalar, so that no database reads it for a join:
/// PostgreSQL, which knows little of a new table, went through all contacts for each.
macro_rules! of_tags {
    () => {
        concat!(
            "FROM contact_tags AS tagged WHERE workspace_id = $1 AND environment = $2 AND tag = $5",
            has_tag!("$6", "tagged.contact_id"),
            has_tag!("$7", "tagged.contact_id"),
            has_tag!("$8", "tagged.contact_id"),
            has_tag!("$9", "tagged.contact_id"),
            " AND (SELECT CASE WHEN ",
            stands!(),
            " THEN 1 ELSE 0 END FROM contacts
                WHERE workspace_id = $1 AND environment = $2 AND id = tagged.contact_id) = 1"
        )
    };
}
/// `IS NOT NULL` is what the index says of itself: SQLite does not take it otherwise.
macro_rules! of_email {
    () => {
        concat!(
            "FROM contacts WHERE workspace_id = $1 AND environment = $2
            AND email IS NOT NULL AND LOWER(email) = LOWER($10) AND ",
            fits!()
        )
    };
}
macro_rules! of_external_id {
    () => {
        concat!("FROM contacts WHERE workspace_id = $1 AND environment = $2 AND external_id = $11 AND ", fits!())
    };
}

/// Which are on a page, the newest first. What they are is read by their ids: a database that knows little of the
/// table yet would join the two from the wrong end. And `order` is no column where few are found, or it would go
/// through all of them in their order.
macro_rules! page {
    ($id:literal, $of:expr, $order:literal, $limit:literal) => {
        concat!("SELECT ", $id, " ", $of, " ORDER BY ", $order, " DESC LIMIT ", $limit)
    };
}

/// Which come next behind one, the oldest first.
macro_rules! after {
    ($of:expr, $after:literal, $order:literal, $limit:literal) => {
        concat!("SELECT id ", $of, " AND ", $order, " > ", $after, " ORDER BY ", $order, " LIMIT ", $limit)
    };
}

macro_rules! count {
    ($of:expr) => {
        concat!("SELECT COUNT(*) AS total ", $of)
    };
}

statements! {
    INSERT_CONTACT "insert_contact"
        "INSERT INTO contacts (workspace_id, environment, id, name, email, phone, external_id, custom_fields, search,
            created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)";
    /// Inserts nothing when its external id is another's.
    INSERT_IMPORTED_CONTACT "insert_imported_contact"
        "INSERT INTO contacts (workspace_id, environment, id, name, email, phone, external_id, custom_fields, search,
            created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10) ON CONFLICT DO NOTHING";
    CONTACT "contact" concat!(
        "SELECT ", contact_columns!(), " FROM contacts WHERE workspace_id = $1 AND environment = $2 AND id = $3"
    );
    LOCK_CONTACT "lock_contact" concat!(
        "UPDATE contacts SET updated_at = updated_at WHERE workspace_id = $1 AND environment = $2 AND id = $3 RETURNING ",
        contact_columns!()
    );
    LOCK_CONTACT_BY_EXTERNAL_ID "lock_contact_by_external_id" concat!(
        "UPDATE contacts SET updated_at = updated_at
        WHERE workspace_id = $1 AND environment = $2 AND external_id = $3 RETURNING ", contact_columns!()
    );
    LOCK_CONTACTS_BY_EMAIL "lock_contacts_by_email" concat!(
        "UPDATE contacts SET updated_at = updated_at
        WHERE workspace_id = $1 AND environment = $2 AND email IS NOT NULL AND LOWER(email) = LOWER($3) RETURNING ",
        contact_columns!()
    );
    CONTACT_OF_EXTERNAL_ID "contact_of_external_id"
        "SELECT id FROM contacts WHERE workspace_id = $1 AND environment = $2 AND external_id = $3";
    UPDATE_CONTACT "update_contact"
        "UPDATE contacts SET name = $4, email = $5, phone = $6, external_id = $7, custom_fields = $8, search = $9,
            updated_at = $10, archived_at = $11
        WHERE workspace_id = $1 AND environment = $2 AND id = $3";
    /// Its tags go with it, by the foreign key.
    DELETE_CONTACT "delete_contact" "DELETE FROM contacts WHERE workspace_id = $1 AND environment = $2 AND id = $3";

    CONTACTS "contacts" page!("id", of_all!(), "id", "$5 OFFSET $6");
    CONTACTS_OF_SEARCH "contacts_of_search" page!("id", of_search!(), "id", "$12 OFFSET $13");
    CONTACTS_OF_TAGS "contacts_of_tags" page!("contact_id AS id", of_tags!(), "contact_id", "$10 OFFSET $11");
    CONTACTS_OF_EMAIL "contacts_of_email" page!("id", of_email!(), "id || ''", "$12 OFFSET $13");
    CONTACTS_OF_EXTERNAL_ID "contacts_of_external_id" page!("id", of_external_id!(), "id || ''", "$12 OFFSET $13");
    CONTACT_COUNT "contact_count" count!(of_all!());
    CONTACT_COUNT_OF_SEARCH "contact_count_of_search" count!(of_search!());
    CONTACT_COUNT_OF_TAGS "contact_count_of_tags" count!(of_tags!());
    /// `$3` archived, `$4` the tag. Those that have it, without those of them that are archived, or those alone.
    CONTACT_COUNT_OF_TAG "contact_count_of_tag"
        "SELECT CAST(SUM(part) AS BIGINT) AS total FROM (SELECT COUNT(*) AS part FROM contact_tags
            WHERE workspace_id = $1 AND environment = $2 AND tag = $4 AND $3 <> 'true'
        UNION ALL SELECT COUNT(*) * CASE $3 WHEN 'false' THEN -1 ELSE 1 END AS part FROM contacts
            WHERE workspace_id = $1 AND environment = $2 AND archived_at > 0 AND $3 <> 'any' AND (
                SELECT COUNT(*) FROM contact_tags
                WHERE workspace_id = $1 AND environment = $2 AND tag = $4 AND contact_id = id) = 1) AS parts";
    CONTACT_COUNT_OF_EMAIL "contact_count_of_email" count!(of_email!());
    CONTACT_COUNT_OF_EXTERNAL_ID "contact_count_of_external_id" count!(of_external_id!());
    CONTACTS_AFTER "contacts_after" after!(of_all!(), "$5", "id", "$6");
    CONTACTS_OF_SEARCH_AFTER "contacts_of_search_after" after!(of_search!(), "$12", "id", "$13");
    CONTACTS_OF_TAGS_AFTER "contacts_of_tags_after" concat!(
        "SELECT contact_id AS id ", of_tags!(), " AND contact_id > $10 ORDER BY contact_id LIMIT $11"
    );
    CONTACTS_OF_EMAIL_AFTER "contacts_of_email_after" after!(of_email!(), "$12", "id || ''", "$13");
    CONTACTS_OF_EXTERNAL_ID_AFTER "contacts_of_external_id_after"
        after!(of_external_id!(), "$12", "id || ''", "$13");
    /// Ten contacts; fewer are filled up with nobody.
    CONTACTS_BY_ID "contacts_by_id" concat!(
        "SELECT ", contact_columns!(), " FROM contacts WHERE workspace_id = $1 AND environment = $2
            AND id IN ($3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
    );

    INSERT_CONTACT_TAG "insert_contact_tag"
        "INSERT INTO contact_tags (workspace_id, environment, tag, contact_id) VALUES ($1, $2, $3, $4)
        ON CONFLICT DO NOTHING";
    DELETE_CONTACT_TAGS "delete_contact_tags"
        "DELETE FROM contact_tags WHERE workspace_id = $1 AND environment = $2 AND contact_id = $3";
    TAGS_OF_CONTACT "tags_of_contact"
        "SELECT tag FROM contact_tags WHERE workspace_id = $1 AND environment = $2 AND contact_id = $3 ORDER BY tag";
    /// Of ten contacts; fewer are filled up with nobody.
    TAGS_OF_CONTACTS "tags_of_contacts"
        "SELECT contact_id, tag FROM contact_tags WHERE workspace_id = $1 AND environment = $2
            AND contact_id IN ($3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ORDER BY contact_id, tag";
}
