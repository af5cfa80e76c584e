"""What the benchmark builds. Each project is a function that makes one in an empty directory and returns what can be edited there:
{"leaf": (file, text to vary), "root": …}; the text has %d in it."""
import os
import pathlib
import shutil
import subprocess

CARGO_HOME = pathlib.Path(os.environ.get("CARGO_HOME", str(pathlib.Path.home() / ".cargo")))


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def package(where, name, dependencies="", more=""):
    write(where / "Cargo.toml", '[package]\nname = "%s"\nversion = "0.1.0"\nedition = "2021"\n%s\n[dependencies]\n%s'
          % (name, more, dependencies))


def lock(where):
    """Settles and downloads the dependencies; an error if the registry can't be reached."""
    subprocess.run(["cargo", "fetch", "-q"], cwd=where, check=True)


def published(name, version, where):
    """A crate as its authors published it, with its own lock file."""
    fetch = where.parent / ("fetch-" + name)
    package(fetch, "fetch", '%s = "=%s"\n' % (name, version), '[lib]\npath = "lib.rs"\n[workspace]')
    write(fetch / "lib.rs", "")
    lock(fetch)
    source = next((CARGO_HOME / "registry" / "src").glob("*/%s-%s" % (name, version)))
    shutil.copytree(source, where)
    subprocess.run(["chmod", "-R", "u+w", str(where)], check=True)
    subprocess.run(["cargo", "fetch", "-q", "--locked"], cwd=where, check=True)


def n50(where):
    """Fifty tiny crates, each using up to three before it, and a program that uses them all."""
    members, body, uses = ['"app"'], [], ""
    for i in range(1, 51):
        before = [d for d in (i - 1, i - 7, i - 20) if d > 0]
        package(where / ("c%d" % i), "c%d" % i, "".join('c%d = { path = "../c%d" }\n' % (d, d) for d in before))
        write(where / ("c%d/src/lib.rs" % i),
              "mod a;\npub fn f() -> u32 { a::g() + %s }\npub fn v() -> Vec<String> { (0..f()).map(|i| i.to_string()).collect() }\n"
              % " + ".join(["1"] + ["c%d::f() %% 7" % d for d in before]))
        write(where / ("c%d/src/a.rs" % i), "pub fn g() -> u32 { 3 }\n")
        members.append('"c%d"' % i)
        uses += 'c%d = { path = "../c%d" }\n' % (i, i)
        body.append("n += c%d::v().len();" % i)
    package(where / "app", "app", uses)
    main = "fn main() { let mut n = %%d; %s println!(\"{n}\"); }\n" % " ".join(body)
    write(where / "app/src/main.rs", main % 0)
    write(where / "Cargo.toml", '[workspace]\nmembers = [%s]\nresolver = "2"\n' % ", ".join(members))
    lock(where)
    return {"leaf": ("app/src/main.rs", main), "root": ("c1/src/a.rs", "pub fn g() -> u32 { 3 + %d }\n")}


def ripgrep(where):
    """A program of some fifty crates."""
    published("ripgrep", "14.1.1", where)
    main = (where / "crates/core/main.rs").read_text().replace("%", "%%")
    return {"leaf": ("crates/core/main.rs", main + "\n#[allow(dead_code)]\nfn bench_%d() {}\n")}


def macros(where):
    """Twelve crates that use heavy procedural macros, on one that all of them use."""
    derive = ('serde = { version = "1", features = ["derive"] }\nserde_json = "1"\nthiserror = "2"\nstrum = { version = "0.26", features = '
              '["derive"] }\nderive_more = { version = "1", features = ["full"] }\nasync-trait = "0.1"\n'
              'clap = { version = "4", features = ["derive"] }\n')
    names = ["m%d" % i for i in range(12)]
    base = "#[derive(Debug, Clone, Default)]\npub struct Base { pub n: u64 }\npub fn base() -> u64 { %d }\n"
    package(where / "base", "base")
    write(where / "base/src/lib.rs", base % 0)
    for name in names:
        package(where / name, name, derive + 'base = { path = "../base" }\n')
        code = "use serde::{Deserialize, Serialize};\n"
        for k in range(10):
            code += ("#[derive(Debug, Clone, Default, Serialize, Deserialize, derive_more::From, derive_more::Into)]\n"
                     "pub struct S%d { pub a: u64, pub b: String, pub c: Vec<u8> }\n"
                     "#[derive(Debug, Clone, Copy, Serialize, Deserialize, strum::EnumString, strum::Display, strum::EnumIter)]\n"
                     "pub enum E%d { A, B, C }\n"
                     "#[derive(Debug, thiserror::Error)]\npub enum X%d { #[error(\"one {0}\")] One(u64), #[error(\"two\")] Two }\n" % (k, k, k))
        code += ("#[async_trait::async_trait]\npub trait T { async fn t(&self) -> u64; }\n"
                 "#[derive(Debug, clap::Parser)]\npub struct Args { #[arg(long)] pub n: Option<u64> }\n"
                 "pub fn f() -> u64 { base::base() + S0::default().a }\n")
        write(where / name / "src/lib.rs", code)
    package(where / "app", "app", "".join('%s = { path = "../%s" }\n' % (n, n) for n in names))
    main = "fn main() { println!(\"{}\", %%d + %s); }\n" % " + ".join(n + "::f()" for n in names)
    write(where / "app/src/main.rs", main % 0)
    write(where / "Cargo.toml", '[workspace]\nmembers = ["app", "base", %s]\nresolver = "2"\n' % ", ".join('"%s"' % n for n in names))
    lock(where)
    return {"leaf": ("app/src/main.rs", main), "root": ("base/src/lib.rs", base)}


def asynchronous(where):
    """A service on tokio, hyper, axum and what comes with them: some 130 compiler calls."""
    package(where, "service", 'tokio = { version = "1", features = ["full"] }\nhyper = { version = "1", features = ["full"] }\n'
            'axum = "0.8"\ntower = { version = "0.5", features = ["full"] }\ntower-http = { version = "0.6", features = ["trace", "cors", "fs"] }\n'
            'serde = { version = "1", features = ["derive"] }\nserde_json = "1"\ntracing = "0.1"\n'
            'tracing-subscriber = { version = "0.3", features = ["env-filter", "json"] }\nclap = { version = "4", features = ["derive"] }\n'
            'reqwest = { version = "0.12", default-features = false, features = ["json", "stream"] }\nanyhow = "1"\n'
            'futures = "0.3"\nuuid = { version = "1", features = ["v4"] }\nchrono = "0.4"\nregex = "1"\n', "[workspace]")
    main = ("use axum::{routing::get, Json, Router};\n#[derive(serde::Serialize)]\nstruct Answer { id: String, n: u64 }\n"
            "async fn answer() -> Json<Answer> { Json(Answer { id: uuid::Uuid::new_v4().to_string(), n: %d }) }\n"
            "#[tokio::main]\nasync fn main() -> anyhow::Result<()> {\n    tracing_subscriber::fmt().json().init();\n"
            "    let app: Router = Router::new().route(\"/\", get(answer));\n"
            "    let listener = tokio::net::TcpListener::bind(\"127.0.0.1:0\").await?;\n"
            "    tracing::info!(\"{:?}\", listener.local_addr());\n    axum::serve(listener, app).await?;\n    Ok(())\n}\n")
    write(where / "src/main.rs", main % 0)
    lock(where)
    return {"leaf": ("src/main.rs", main)}


def native(where):
    """Crates with C in them: SQLite, zstd and libgit2's zlib."""
    package(where, "native", 'rusqlite = { version = "0.31", features = ["bundled"] }\nzstd = "0.13"\n'
            'flate2 = { version = "1", features = ["zlib"], default-features = false }\nserde_json = "1"\n', "[workspace]")
    main = "fn main() { println!(\"{} {}\", rusqlite::version(), %d + zstd::zstd_safe::version_number()); }\n"
    write(where / "src/main.rs", main % 0)
    lock(where)
    return {"leaf": ("src/main.rs", main)}


PROJECTS = {"n50": n50, "ripgrep": ripgrep, "macros": macros, "async": asynchronous, "native": native}
