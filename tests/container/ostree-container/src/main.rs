//! `/usr/libexec/libostree/ext/ostree-container`, which `ostree container …` starts.

#[tokio::main]
async fn main() {
    if let Err(e) = ostree_ext::cli::run_from_iter(std::env::args_os()).await {
        eprintln!("error: {e:#}");
        std::process::exit(1);
    }
}
