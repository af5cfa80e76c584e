#[test]
fn works() { assert!(mid::twice() >= 2); }
