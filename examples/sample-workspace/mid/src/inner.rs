pub fn extra() -> u32 { 0 }
