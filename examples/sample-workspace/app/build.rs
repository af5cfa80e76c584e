use std::process::Command;

fn run(program: &str, args: &[&str]) {
    assert!(Command::new(program).args(args).status().expect(program).success());
}

fn main() {
    let out = std::env::var("OUT_DIR").unwrap();
    let n = std::fs::read_to_string("number.txt").unwrap_or("7".into());
    std::fs::write(format!("{out}/gen.rs"), format!("pub const GEN: u32 = {};", n.trim())).unwrap();
    run("cc", &["-c", "answer.c", "-o", &format!("{out}/answer.o")]);
    run("ar", &["crsD", &format!("{out}/libanswer.a"), &format!("{out}/answer.o")]);
    println!("cargo:rustc-link-search=native={out}");
    println!("cargo:rustc-link-lib=static=answer");
    println!("cargo:rerun-if-changed=number.txt");
    println!("cargo:rerun-if-changed=answer.c");
}
