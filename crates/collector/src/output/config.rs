//! The configuration of an output: what all kinds have in common.

use std::any::Any;
use std::sync::Arc;

use confluence_audit_formats::Format;

use super::kind::{OutputContext, OutputKind, OutputSetup};
use super::kinds::KINDS;
use super::{BatchLimits, Output, OutputName};
use crate::Result;
use crate::table::{Table, Text};

/// One output.
#[derive(Clone, Debug)]
pub struct OutputConfig {
    /// What the state calls it, where that is not derived from the destination. It has to stay the
    /// same.
    pub name: Option<String>,
    /// How a record is written.
    pub format: Format,
    /// How much it is given at a time.
    pub batch: BatchLimits,
    /// What it is.
    pub kind: Arc<dyn OutputKind>,
}

impl OutputConfig {
    /// An output of this kind, with what is usual for it.
    pub fn new(kind: impl OutputKind) -> Self {
        Self::of(Arc::new(kind))
    }

    fn of(kind: Arc<dyn OutputKind>) -> Self {
        Self {
            name: None,
            format: kind.info().format,
            batch: kind.info().batch,
            kind,
        }
    }

    /// Its kind's configuration, if it is of this kind.
    pub fn kind_as<K: OutputKind>(&self) -> Option<&K> {
        let kind: &dyn Any = &*self.kind;
        kind.downcast_ref()
    }

    /// Whether each site has an output of its own.
    pub fn is_per_site(&self) -> bool {
        self.kind.for_site("").is_some()
    }

    /// The output of the site of this name; itself, where it is one for all sites.
    #[must_use]
    pub fn for_site(&self, site: &str) -> Self {
        let kind = self.kind.for_site(site);
        let own_name = |name: &String| format!("{name}:{site}");
        Self {
            name: match kind {
                Some(_) => self.name.as_ref().map(own_name),
                None => self.name.clone(),
            },
            kind: kind.unwrap_or_else(|| Arc::clone(&self.kind)),
            ..*self
        }
    }

    /// The name under which the state keeps it.
    ///
    /// # Errors
    /// [`OutputCreate`](crate::ErrorKind::OutputCreate) when a path cannot be made absolute.
    pub fn state_name(&self) -> Result<OutputName> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => self.kind.state_name()?,
        };
        Ok(OutputName::new(name))
    }

    /// The output itself, under this name. Nothing is touched yet.
    pub fn build(&self, name: OutputName, context: &OutputContext) -> Box<dyn Output> {
        self.kind.build(OutputSetup {
            name,
            format: self.format,
            batch: self.batch,
            context,
        })
    }

    /// Reads all outputs; no two have the same name or destination.
    pub(crate) fn read_all(root: &mut Table<'_>) -> Vec<Self> {
        let mut destinations: Vec<(&str, String)> = Vec::new();
        let mut names: Vec<String> = Vec::new();
        root.tables("output", "where records go", |table| {
            let kind = table.kind("output", &KINDS);
            let about = "what the state calls it, in place of its destination";
            let name = table.text("name", about, |text| text.name("an output's"));
            let format = table.choice(
                "format",
                "how a record is written",
                Format::ALL.iter().map(|format| (format.as_str(), *format)),
            );
            let batch = read_batch(table);
            let mut output = Self::of(kind?);
            if let Some(format) = format
                && !output.kind.takes(format)
            {
                let kind = output.kind.info().name;
                let message = format!("`{kind}` takes no records in the format {format}");
                let remedy = "It takes JSON: raw, flat, ecs or ocsf.";
                table.mistake_at::<()>("format", message, remedy);
            }
            let destination = (output.kind.info().name, output.kind.display_name());
            if destinations.contains(&destination) {
                let shown = destination.1.escape_debug();
                table.mistake::<()>(
                    format!("a second output goes to {shown}"),
                    "Give each output a destination of its own: two writers would disturb each \
                     other.",
                );
            }
            if let Some(name) = name.as_ref().filter(|name| names.contains(name)) {
                table.mistake::<()>(
                    format!("a second output is named `{name}`"),
                    "Give each output a name of its own, or none.",
                );
            }
            destinations.push(destination);
            names.extend(name.clone());
            output.name = name;
            output.format = format.unwrap_or(output.format);
            output.batch = batch(output.batch);
            Some(output)
        })
    }
}

/// The limits that are given, over what is usual for a kind.
fn read_batch(table: &mut Table<'_>) -> impl FnOnce(BatchLimits) -> BatchLimits + use<> {
    let about = "how many records are delivered at a time";
    let records = table.number("batch_records", about, 1..=100_000);
    let about = "how many bytes are delivered at a time";
    let bytes = table.text("batch_bytes", about, |text| {
        let size = usize::try_from(text.size()?).ok();
        size.filter(|size| *size <= 64 << 20).ok_or_else(|| {
            let message = format!("`batch_bytes` is `{}`", text.value.escape_debug());
            text.mistake(
                message,
                "Write a whole number with its unit, up to \"64MiB\".",
            )
        })
    });
    let age = table.text(
        "batch_age",
        "how long a batch waits to fill",
        Text::duration,
    );
    move |usual| BatchLimits {
        records: records.unwrap_or(usual.records),
        bytes: bytes.unwrap_or(usual.bytes),
        age: age.unwrap_or(usual.age),
    }
}
