use std::fmt;

use ambient::{ConnectionId, Millis};

use super::{Workspace, keys::json, limits};
use crate::{
    catalogue::connections as sql,
    error::StoreError,
    record::{AuditEntry, Page, PageRequest},
    row::Row,
};

/// What the audit log calls them.
const KIND: &str = "connection";

/// The secrets that calls of tools to one origin take along.
#[derive(Clone)]
pub struct ConnectionRecord {
    /// Its id.
    pub id: ConnectionId,
    /// What people call it.
    pub name: String,
    /// Where they may go: `https://api.example.com`.
    pub origin: String,
    /// In lower case, sorted.
    pub header_names: Vec<String>,
    /// Names and values.
    pub headers_sealed: Vec<u8>,
    /// When it was made.
    pub created_at: Millis,
    /// When it last changed.
    pub updated_at: Millis,
}

impl fmt::Debug for ConnectionRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, origin, header_names, .. } = self;
        f.debug_struct("ConnectionRecord").field("id", id).field("origin", origin).field("names", header_names).finish()
    }
}

/// A connection as it is to be. Its maker gives the id, because the headers are sealed for it.
#[derive(Clone)]
pub struct ConnectionDraft {
    /// Its id.
    pub id: ConnectionId,
    /// What people call it.
    pub name: String,
    /// Where they may go.
    pub origin: String,
    /// In lower case, sorted.
    pub header_names: Vec<String>,
    /// Names and values.
    pub headers_sealed: Vec<u8>,
}

impl fmt::Debug for ConnectionDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, origin, header_names, .. } = self;
        f.debug_struct("ConnectionDraft").field("id", id).field("origin", origin).field("names", header_names).finish()
    }
}

impl Workspace {
    /// Makes a connection.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn create_connection(
        &self,
        new: ConnectionDraft,
        audit: AuditEntry<'_>,
    ) -> Result<ConnectionRecord, StoreError> {
        let now = self.store.now();
        let ConnectionDraft { id, name, origin, header_names, headers_sealed } = new;
        if let Some(made) = self.made_before(id, self.connection(id)).await? {
            return Ok(made);
        }
        let mut tx = self.store.begin().await?;
        let insert = self.own(&sql::INSERT_CONNECTION).id(id).text(&name).text(&origin).text(json(&header_names)?);
        tx.execute(insert.blob(headers_sealed.clone()).time(now)).await?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        tx.commit().await?;
        Ok(ConnectionRecord { id, name, origin, header_names, headers_sealed, created_at: now, updated_at: now })
    }

    /// A connection.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn connection(&self, id: ConnectionId) -> Result<ConnectionRecord, StoreError> {
        self.one(self.own(&sql::CONNECTION).id(id), connection_record).await
    }

    /// A page of connections, the newest first.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn connections(&self, page: PageRequest) -> Result<Page<ConnectionRecord>, StoreError> {
        let (rows, total) = (limits(self.own(&sql::CONNECTIONS), page), self.own(&sql::CONNECTION_COUNT));
        self.page(rows, total, connection_record).await
    }

    /// Makes a connection what the draft says, origin and headers together: of two changes at once the later
    /// one wins whole, and no secret meets an origin that it was not meant for.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn update_connection(
        &self,
        change: ConnectionDraft,
        audit: AuditEntry<'_>,
    ) -> Result<ConnectionRecord, StoreError> {
        let ConnectionDraft { id, name, origin, header_names, headers_sealed } = change;
        let mut tx = self.store.begin().await?;
        let update = self.own(&sql::UPDATE_CONNECTION).id(id).text(name).text(origin).text(json(&header_names)?);
        let row = tx.row(update.blob(headers_sealed).time(self.store.now())).await?;
        let changed = connection_record(&row.ok_or(StoreError::NotFound)?)?;
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// Deletes a connection.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] `deployed` while a deployment that is not revoked
    /// names it, `agent_loop` while a loop does.
    pub async fn delete_connection(&self, id: ConnectionId, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        if self.agent_loops_of(&mut tx, id).await? > 0 {
            return Err(StoreError::Conflict("agent_loop"));
        }
        if tx.execute(self.own(&sql::DELETE_CONNECTION).id(id)).await? == 0 {
            tx.row(self.own(&sql::CONNECTION).id(id)).await?.ok_or(StoreError::NotFound)?;
            return Err(StoreError::Conflict("deployed"));
        }
        self.insert_audit(&mut tx, &audit, KIND, &id).await?;
        tx.commit().await
    }
}

fn connection_record(row: &Row) -> Result<ConnectionRecord, StoreError> {
    Ok(ConnectionRecord {
        id: row.id("id")?,
        name: row.string("name")?,
        origin: row.string("origin")?,
        header_names: row.json("header_names")?,
        headers_sealed: row.maybe_blob("headers_sealed")?.unwrap_or_default(),
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}
