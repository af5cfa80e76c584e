include!(concat!(env!("OUT_DIR"), "/gen.rs"));

extern "C" {
    fn answer() -> i32;
}

fn main() {
    println!("{} {} {} {} {}", mid::twice(), mid::text(), mac::secret!(), GEN, unsafe { answer() });
}
