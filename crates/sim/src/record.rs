//! An audit record as the service writes it: fields in their natural order.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

/// Most strings come from tables.
pub(crate) type Text = Cow<'static, str>;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) author: Author,
    pub(crate) remote_address: Text,
    pub(crate) creation_date: i64,
    pub(crate) summary: Text,
    pub(crate) description: Text,
    pub(crate) category: Text,
    pub(crate) sys_admin: bool,
    pub(crate) super_admin: bool,
    pub(crate) affected_object: Object,
    pub(crate) changed_values: Vec<Change>,
    pub(crate) associated_objects: Vec<Object>,
    /// A field that no document names, now and then: a reader must keep it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) event_context: Option<EventContext>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Author {
    pub(crate) r#type: &'static str,
    pub(crate) display_name: Text,
    /// null, `{}` or `[]`, by vintage.
    pub(crate) operations: Value,
    pub(crate) is_external_collaborator: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) account: Option<Account>,
    pub(crate) account_type: &'static str,
    pub(crate) public_name: Text,
    pub(crate) external_collaborator: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) is_guest: Option<bool>,
}

/// What System has not.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Account {
    pub(crate) username: Text,
    pub(crate) user_key: Text,
    #[serde(rename = "accountId")]
    pub(crate) id: Text,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Object {
    pub(crate) name: Text,
    pub(crate) object_type: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Change {
    pub(crate) name: Text,
    pub(crate) old_value: Text,
    pub(crate) new_value: Text,
    pub(crate) hidden_old_value: Text,
    pub(crate) hidden_new_value: Text,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventContext {
    pub(crate) client: &'static str,
    /// Beyond 2^53, where a reader that goes through a float loses digits.
    pub(crate) sequence: u64,
}

impl Record {
    /// The record in compact JSON.
    pub(crate) fn line(&self) -> String {
        // No map with other keys than strings and no failing Serialize stands in a record, so this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Record {
    /// Whether one of its texts contains `text`.
    pub(crate) fn mentions(&self, text: &str) -> bool {
        let objects = self
            .associated_objects
            .iter()
            .chain([&self.affected_object])
            .flat_map(Object::texts);
        let changes = self.changed_values.iter().flat_map(Change::texts);
        let account = self
            .author
            .account
            .iter()
            .flat_map(|account| [&*account.username, &account.user_key]);
        [
            &*self.author.display_name,
            &self.author.public_name,
            &self.remote_address,
            &self.summary,
            &self.description,
            &self.category,
        ]
        .into_iter()
        .chain(objects)
        .chain(changes)
        .chain(account)
        .any(|field| field.contains(text))
    }
}

impl Object {
    fn texts(&self) -> [&str; 2] {
        [&self.name, self.object_type]
    }
}

impl Change {
    fn texts(&self) -> [&str; 5] {
        [
            &self.name,
            &self.old_value,
            &self.new_value,
            &self.hidden_old_value,
            &self.hidden_new_value,
        ]
    }
}
