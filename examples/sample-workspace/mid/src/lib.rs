mod inner;
pub fn twice() -> u32 { 2 * leaf::number() + inner::extra() }
pub use leaf::text;
