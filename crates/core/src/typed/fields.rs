//! Deserializes an object in one pass: known fields into their places, strings borrowed from the
//! text, unknown fields kept.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::creation_date;
use crate::time::Timestamp;

/// What an object is read into.
pub(super) trait Fields<'de>: Default {
    /// The fields without which there is nothing, and their numbers.
    const NEEDED: &'static [(&'static str, u32)];

    /// Reads the value of the field `name` and gives the field's number, which is below 32; `None`
    /// where no field of this name is known.
    fn read<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A)
    -> Result<Option<u32>, A::Error>;

    /// The fields that are not known, and the optional ones that are `null`.
    fn extra(&mut self) -> &mut Map<String, Value>;
}

/// Reads an object whose every key stands once, since of a second value none could be kept.
pub(super) fn object<'de, T: Fields<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    struct Object<T>(PhantomData<T>);
    impl<'de, T: Fields<'de>> Visitor<'de> for Object<T> {
        type Value = (T, u32);

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(T, u32), A::Error> {
            let mut fields = T::default();
            let mut seen = 0_u32;
            while let Some(Text(name)) = map.next_key()? {
                let again = if let Some(number) = fields.read(&name, &mut map)? {
                    let bit = 1 << number;
                    let again = seen & bit != 0;
                    seen |= bit;
                    again
                } else {
                    let value = map.next_value()?;
                    fields.extra().insert(name.into_owned(), value).is_some()
                };
                if again {
                    return Err(A::Error::custom("a field stands twice"));
                }
            }
            Ok((fields, seen))
        }
    }
    let (fields, seen) = deserializer.deserialize_map(Object::<T>(PhantomData))?;
    let mut missing = T::NEEDED.iter().filter(|field| seen & (1 << field.1) == 0);
    match missing.next() {
        Some((name, _)) => Err(D::Error::missing_field(name)),
        None => Ok(fields),
    }
}

/// Declares the fields of an object, each with its key and what its value is read as.
///
/// - `needed`: it must be there.
/// - `required`: it reads as empty when it is `null` or missing.
/// - `optional`: when it is `null` it goes to `extra`, for `None` could not tell that it was there.
/// - `any`: whatever it is, `null` too, it is kept.
macro_rules! fields {
    ($object:ident {
        $(needed { $($needed:literal => $needed_field:ident: $needed_type:ty,)* })?
        $(required { $($required:literal => $required_field:ident: $required_type:ty,)* })?
        $(optional { $($optional:literal => $optional_field:ident: $optional_type:ty,)* })?
        $(any { $($any:literal => $any_field:ident,)* })?
    }) => {
        const _: () = {
            #[expect(non_camel_case_types, reason = "each is a field")]
            enum Number {
                $($($needed_field,)*)? $($($required_field,)*)? $($($optional_field,)*)? $($($any_field,)*)?
            }

            impl<'de> serde::Deserialize<'de> for $object<'de> {
                fn deserialize<D: serde::Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
                    $crate::typed::fields::object(json)
                }
            }

            impl $crate::typed::fields::IntoStatic for $object<'_> {
                type Static = $object<'static>;

                fn into_static(self) -> $object<'static> {
                    $object {
                        $($($needed_field: self.$needed_field.into_static(),)*)?
                        $($($required_field: self.$required_field.into_static(),)*)?
                        $($($optional_field: self.$optional_field.into_static(),)*)?
                        $($($any_field: self.$any_field.into_static(),)*)?
                        extra: self.extra,
                    }
                }
            }

            impl<'de> $crate::typed::fields::Fields<'de> for $object<'de> {
                const NEEDED: &'static [(&'static str, u32)] =
                    &[$($(($needed, Number::$needed_field as u32),)*)?];

                fn read<A: serde::de::MapAccess<'de>>(
                    &mut self,
                    name: &str,
                    map: &mut A,
                ) -> Result<Option<u32>, A::Error> {
                    let number = match name {
                        $($($needed => {
                            self.$needed_field = map.next_value::<$needed_type>()?.into();
                            Number::$needed_field
                        })*)?
                        $($($required => {
                            let value = $crate::typed::fields::value::<$required_type, _>(name, map)?;
                            self.$required_field = value.map(Into::into).unwrap_or_default();
                            Number::$required_field
                        })*)?
                        $($($optional => {
                            match $crate::typed::fields::value::<$optional_type, _>(name, map)? {
                                Some(value) => self.$optional_field = Some(value.into()),
                                None => drop(self.extra.insert(name.to_owned(), Value::Null)),
                            }
                            Number::$optional_field
                        })*)?
                        $($($any => {
                            self.$any_field = Some(map.next_value()?);
                            Number::$any_field
                        })*)?
                        _ => return Ok(None),
                    };
                    Ok(Some(number as u32))
                }

                fn extra(&mut self) -> &mut Map<String, Value> {
                    &mut self.extra
                }
            }
        };
    };
}
pub(super) use fields;

/// What borrows, made to own what it borrowed.
pub(super) trait IntoStatic {
    type Static;

    fn into_static(self) -> Self::Static;
}

impl IntoStatic for Cow<'_, str> {
    type Static = Cow<'static, str>;

    fn into_static(self) -> Self::Static {
        self.into_owned().into()
    }
}

impl<T: IntoStatic> IntoStatic for Option<T> {
    type Static = Option<T::Static>;

    fn into_static(self) -> Self::Static {
        self.map(T::into_static)
    }
}

impl<T: IntoStatic> IntoStatic for Vec<T> {
    type Static = Vec<T::Static>;

    fn into_static(self) -> Self::Static {
        self.into_iter().map(T::into_static).collect()
    }
}

macro_rules! owned {
    ($($already:ty)*) => {$(
        impl IntoStatic for $already {
            type Static = Self;

            fn into_static(self) -> Self {
                self
            }
        }
    )*};
}
owned!(bool Timestamp Value);

/// The value of the field `name`, unless it is `null`.
#[inline]
pub(super) fn value<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    name: &str,
    map: &mut A,
) -> Result<Option<T>, A::Error> {
    map.next_value()
        .map_err(|error| A::Error::custom(format_args!("{name}: {error}")))
}

/// A time in any form that is known.
pub(super) struct Time(Timestamp);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let time = match value.as_i64() {
            Some(millis) => Some(Timestamp::from_millis(millis)),
            None => creation_date::read(value.to_string().as_bytes()),
        };
        time.map(Self)
            .ok_or_else(|| D::Error::custom("creationDate is no time"))
    }
}

impl From<Time> for Timestamp {
    fn from(time: Time) -> Self {
        time.0
    }
}

/// A string, borrowed where no escape is in it.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> From<Text<'a>> for Cow<'a, str> {
    fn from(text: Text<'a>) -> Self {
        text.0
    }
}
