//! Enums whose values have names: in documents, settings, results and messages.
//!
//! Risk: a value that some list forgot. So the names stand beside the values, once.

/// Makes an enum with `ALL`, `NAMED`, `name` and `from_name`, which JSON shows by its names.
macro_rules! named {
    ($(#[$about:meta])* pub enum $Name:ident { $($(#[$doc:meta])* $Value:ident = $name:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $Name {
            $($(#[$doc])* #[doc = concat!("Named `", $name, "`.")] $Value,)+
        }

        impl $Name {
            /// Every value.
            pub const ALL: [$Name; [$($name),+].len()] = [$($Name::$Value),+];

            /// Every value behind its name.
            pub const NAMED: [(&'static str, $Name); [$($name),+].len()] = [$(($name, $Name::$Value)),+];

            /// The name of a value, wherever it is written.
            pub const fn name(self) -> &'static str {
                match self {
                    $($Name::$Value => $name,)+
                }
            }

            /// The value of a name.
            pub fn from_name(name: &str) -> Option<$Name> {
                $Name::ALL.into_iter().find(|value| value.name() == name)
            }
        }

        // Not every enum needs both.
        const _: (fn(&str) -> Option<$Name>, &[(&str, $Name)]) = ($Name::from_name, &$Name::NAMED);

        impl serde::Serialize for $Name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl schemars::JsonSchema for $Name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($Name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": $Name::ALL.map($Name::name) })
            }
        }
    };
}

pub(crate) use named;
