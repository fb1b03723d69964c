//! People: members, how they are signed in, and who is invited.

use super::{Statement, statements};

macro_rules! member_columns {
    () => {
        "id, workspace_id, email, name, role, password_hash, created_at, updated_at, last_seen_at"
    };
}

macro_rules! invitation_columns {
    () => {
        "id, workspace_id, email, role, invited_by, created_at, expires_at, accepted_at, revoked_at"
    };
}

statements! {
    /// Held until the transaction ends: of two changes to a workspace's people the second sees the first.
    LOCK_PEOPLE "lock_people" "UPDATE workspaces SET name = name WHERE id = $1";
    UPDATE_WORKSPACE "update_workspace"
        "UPDATE workspaces SET name = $2, leak_policy = $3, leak_grace_seconds = $4 WHERE id = $1";
    WORKSPACES "workspaces"
        "SELECT id, name, rate_limit, leak_policy, leak_grace_seconds, created_at,
            (SELECT COUNT(*) FROM members WHERE members.workspace_id = workspaces.id) AS members
        FROM workspaces ORDER BY created_at, id";

    MEMBERS "members" concat!(
        "SELECT ", member_columns!(), " FROM members WHERE workspace_id = $1 ORDER BY id DESC LIMIT $2 OFFSET $3"
    );
    MEMBER_TOTAL "member_total" "SELECT COUNT(*) AS total FROM members WHERE workspace_id = $1";
    MEMBER "member" concat!("SELECT ", member_columns!(), " FROM members WHERE workspace_id = $1 AND id = $2");
    OWNER_TOTAL "owner_total" "SELECT COUNT(*) AS total FROM members WHERE workspace_id = $1 AND role = 'owner'";
    ADDRESS_TOTAL "address_total" "SELECT COUNT(*) AS total FROM members WHERE workspace_id = $1 AND email = $2";
    INSERT_INVITED "insert_invited"
        "INSERT INTO members (workspace_id, id, email, role, name, password_hash, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    UPDATE_MEMBER "update_member"
        "UPDATE members SET name = $3, role = $4, updated_at = $5 WHERE workspace_id = $1 AND id = $2";
    RENAME_MEMBER "rename_member"
        "UPDATE members SET name = $3, updated_at = $4 WHERE workspace_id = $1 AND id = $2";
    MEMBER_AT "member_at" concat!("SELECT ", member_columns!(), " FROM members WHERE workspace_id = $1 AND email = $2");
    /// In the place of `$3`: of two who change it at the same time the second changes nothing.
    CHANGE_PASSWORD "change_password"
        "UPDATE members SET password_hash = $4, updated_at = $5
        WHERE workspace_id = $1 AND id = $2 AND password_hash = $3";
    RESET_PASSWORD "reset_password"
        "UPDATE members SET password_hash = $3, name = $4, updated_at = $5 WHERE workspace_id = $1 AND id = $2";
    SEEN_MEMBER "seen_member" "UPDATE members SET last_seen_at = $3 WHERE workspace_id = $1 AND id = $2";
    DELETE_MEMBER "delete_member" "DELETE FROM members WHERE workspace_id = $1 AND id = $2";
    /// `known`: how often somebody was signed in to it from the address `$2`.
    MEMBER_BY_EMAIL "member_by_email" concat!(
        "SELECT ", member_columns!(), ",
            (SELECT COUNT(*) FROM member_sessions s WHERE s.workspace_id = members.workspace_id
                AND s.member_id = members.id AND s.address = $2) AS known
        FROM members WHERE email = $1"
    );

    INSERT_SIGN_IN "insert_sign_in"
        "INSERT INTO member_sessions (workspace_id, id, member_id, digest, address, user_agent, created_at, seen_at,
            expires_at, confirmed_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, $7)";
    SIGN_IN_BY_DIGEST "sign_in_by_digest"
        "SELECT s.id, s.workspace_id, s.member_id, s.seen_at, s.expires_at, s.confirmed_at, m.role
        FROM member_sessions s
        JOIN members m ON m.workspace_id = s.workspace_id AND m.id = s.member_id WHERE s.digest = $1";
    SEEN_SIGN_IN "seen_sign_in" "UPDATE member_sessions SET seen_at = $3 WHERE workspace_id = $1 AND id = $2";
    CONFIRM_SIGN_IN "confirm_sign_in"
        "UPDATE member_sessions SET confirmed_at = $4, digest = $5
        WHERE workspace_id = $1 AND member_id = $2 AND id = $3 AND expires_at > $4 RETURNING expires_at";
    SIGN_INS "sign_ins"
        "SELECT id, address, user_agent, created_at, seen_at, expires_at FROM member_sessions
        WHERE workspace_id = $1 AND member_id = $2 AND expires_at > $3 AND seen_at > $4
        ORDER BY id DESC LIMIT $5 OFFSET $6";
    SIGN_IN_TOTAL "sign_in_total"
        "SELECT COUNT(*) AS total FROM member_sessions
        WHERE workspace_id = $1 AND member_id = $2 AND expires_at > $3 AND seen_at > $4";
    SIGN_IN "sign_in"
        "SELECT COUNT(*) AS total FROM member_sessions
        WHERE workspace_id = $1 AND member_id = $2 AND id = $3 AND expires_at > $4 AND seen_at > $5";
    END_SIGN_IN "end_sign_in"
        "UPDATE member_sessions SET expires_at = $4
        WHERE workspace_id = $1 AND member_id = $2 AND id = $3 AND expires_at > $4";
    FORGET_SIGN_IN "forget_sign_in"
        "DELETE FROM member_sessions WHERE workspace_id = $1 AND member_id = $2 AND id = $3";
    FORGET_OTHER_SIGN_INS "forget_other_sign_ins"
        "DELETE FROM member_sessions WHERE workspace_id = $1 AND member_id = $2 AND id <> $3";
    FORGET_OLD_SIGN_INS "forget_old_sign_ins"
        "DELETE FROM member_sessions WHERE workspace_id = $1 AND member_id = $2 AND id NOT IN
            (SELECT id FROM member_sessions WHERE workspace_id = $1 AND member_id = $2 ORDER BY id DESC LIMIT $3)";
    SWEEP_SIGN_INS "sweep_sign_ins" "DELETE FROM member_sessions WHERE expires_at < $1";

    INVITATIONS "invitations" concat!(
        "SELECT ", invitation_columns!(), " FROM invitations WHERE workspace_id = $1 ORDER BY id DESC LIMIT $2 OFFSET $3"
    );
    INVITATION_TOTAL "invitation_total" "SELECT COUNT(*) AS total FROM invitations WHERE workspace_id = $1";
    OPEN_INVITATION_TOTAL "open_invitation_total"
        "SELECT COUNT(*) AS total FROM invitations
        WHERE workspace_id = $1 AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > $2";
    INVITATION_BY_DIGEST "invitation_by_digest" concat!(
        "SELECT ", invitation_columns!(), " FROM invitations WHERE digest = $1"
    );
    INSERT_INVITATION "insert_invitation"
        "INSERT INTO invitations (workspace_id, id, email, role, digest, invited_by, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    REPLACE_INVITATIONS "replace_invitations"
        "UPDATE invitations SET revoked_at = $3
        WHERE workspace_id = $1 AND email = $2 AND accepted_at IS NULL AND revoked_at IS NULL";
    REVOKE_INVITATION "revoke_invitation"
        "UPDATE invitations SET revoked_at = $3
        WHERE workspace_id = $1 AND id = $2 AND accepted_at IS NULL AND revoked_at IS NULL";
    REVOKE_INVITATIONS_BY "revoke_invitations_by"
        "UPDATE invitations SET revoked_at = $3
        WHERE workspace_id = $1 AND invited_by = $2 AND accepted_at IS NULL AND revoked_at IS NULL";
    /// Once: of two who come at the same time the second changes nothing.
    ACCEPT_INVITATION "accept_invitation"
        "UPDATE invitations SET accepted_at = $3
        WHERE workspace_id = $1 AND id = $2 AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > $3";
    /// What the key that invited may do by now; nothing when it no longer works.
    INVITING_KEY "inviting_key"
        "SELECT k.scopes, k.service_account_id, a.scopes AS account_scopes FROM (SELECT scopes, service_account_id
            FROM api_keys WHERE workspace_id = $1 AND id = $2 AND revoked_at IS NULL
                AND (expires_at IS NULL OR expires_at > $3)) k
        LEFT JOIN (SELECT id, scopes FROM service_accounts WHERE workspace_id = $1 AND disabled_at IS NULL) a
            ON a.id = k.service_account_id";
    SWEEP_INVITATIONS "sweep_invitations" "DELETE FROM invitations WHERE expires_at < $1";
}
