pub fn number() -> u32 { 1 }
pub fn text() -> &'static str { include_str!("text.txt") }
