//! Quirks of pages: everything that the API's documents leave open, as switches.

use serde::Deserialize;

/// The form of pages. The default is what the documents and most samples show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Quirks {
    /// The order of records.
    pub order: Order,
    /// Whether `startDate` itself is in the window.
    pub start_inclusive: bool,
    /// Whether `endDate` itself is in the window.
    pub end_inclusive: bool,
    /// A cap on `limit`, silent but for the echoed `limit`.
    pub max_limit: Option<usize>,
    /// The form of `_links.next`.
    pub next: NextForm,
    /// `_links.next` points at the page that carries it: a reader that follows it makes no progress.
    pub next_repeats: bool,
    /// What `size` says.
    pub size: SizeForm,
    /// Every so many pages one shows nothing and has a `next` that goes on (2 or more).
    ///
    /// Offsets are cut into stretches of `max_limit` (1000 without one), and every n-th stretch is a hole in which
    /// nothing stands. Since holes do not move with the asked `limit`, offsets agree between all requests, and a
    /// reader that follows `next`, or steps by the echoed `limit`, misses nothing.
    pub empty_every: Option<usize>,
    /// The first stretch of offsets is a hole, so that the first page of any window shows nothing.
    pub empty_first: bool,
    /// The order of keys in each object.
    pub key_order: KeyOrder,
    /// Line breaks and indentation.
    pub pretty: bool,
    /// `\u00e9` for é and `\/` for a slash.
    pub ascii_escapes: bool,
    /// `creationDate` as a string of digits.
    pub string_dates: bool,
    /// The author's volatile fields (`displayName`, `publicName`, `operations`, `accountType`) differ between requests.
    pub volatile_names: bool,
    /// Responses carry no `Date` header.
    pub omit_date: bool,
    /// Responses carry a `Warning: 299` header that announces deprecation.
    pub deprecation_warning: bool,
    /// Bodies are compressed for a client that accepts gzip.
    pub gzip: bool,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            order: Order::NewestFirst,
            start_inclusive: true,
            end_inclusive: true,
            max_limit: None,
            next: NextForm::Relative,
            next_repeats: false,
            size: SizeForm::PageCount,
            empty_every: None,
            empty_first: false,
            key_order: KeyOrder::AsIs,
            pretty: false,
            ascii_escapes: false,
            string_dates: false,
            volatile_names: false,
            omit_date: false,
            deprecation_warning: false,
            gzip: false,
        }
    }
}

/// The order of records across the pages of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// As every sample shows it.
    #[default]
    NewestFirst,
    /// The other way round.
    OldestFirst,
    /// None: within stretches of 4096 records the order is drawn from the seed, the same for the same window.
    Shuffled,
}

/// The form of `_links.next`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NextForm {
    /// Relative to `_links.base`: `/rest/api/audit?…`.
    #[default]
    Relative,
    /// Relative to the host: `/wiki/rest/api/audit?…`.
    Wiki,
    /// Absolute, on the site's own host.
    Absolute,
    /// Absolute, on `https://elsewhere.invalid`, which must never see a request, let alone a credential.
    AbsoluteElsewhere,
    /// Absent from every page.
    None,
}

/// What `size` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SizeForm {
    /// The number of records in the page.
    #[default]
    PageCount,
    /// The number of records in the window.
    Total,
    /// Neither.
    Lie,
}

/// The order of keys in each object of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyOrder {
    /// The natural one.
    #[default]
    AsIs,
    /// Last first.
    Reversed,
    /// Another one for each request.
    Shuffled,
}
