// SPDX-License-Identifier: MIT OR Apache-2.0
//! Successful runs of `replace` and `rebuild`.

use std::os::unix::fs::PermissionsExt;

use crate::bed::Bed;
use crate::kernels::{Build, NEW, OLD};
use crate::ran::Ran;
use crate::server::Server;

/// The changes of the tree that every successful `replace` makes.
const CHANGES: [&str; 4] = [
    "-usr/lib/modules/6.1.7-100.fc40.x86_64",
    "+usr/lib/modules/6.9.4-200.fc40.x86_64",
    "+usr/share/ostree-kernel",
    "~usr/share/rpm",
];

const TRANSACTION: &str = "rpm-ostree override replace \
    /run/ostree-kernel/packages/kernel-6.9.4-200.fc40.x86_64.rpm \
    /run/ostree-kernel/packages/kernel-core-6.9.4-200.fc40.x86_64.rpm \
    /run/ostree-kernel/packages/kernel-modules-6.9.4-200.fc40.x86_64.rpm \
    /run/ostree-kernel/packages/kernel-modules-core-6.9.4-200.fc40.x86_64.rpm";

const INNER: &str =
    "kernel-install add 6.9.4-200.fc40.x86_64 /lib/modules/6.9.4-200.fc40.x86_64/vmlinuz";

const DEPMOD: &str = "depmod -a 6.9.4-200.fc40.x86_64";

const DRACUT: &str = "dracut --no-hostonly --kver 6.9.4-200.fc40.x86_64 --reproducible \
    -v --add ostree --tmpdir /usr/lib/.ostree-kernel --stdlog 3 \
    -f /usr/lib/modules/6.9.4-200.fc40.x86_64/.initramfs.img.ostree-kernel";

const CLEANUP: &str = "rpm-ostree cleanup -m";

const COMMIT: &str = "ostree container commit";

/// Asserts the conditions that every successful run must fulfil.
#[track_caller]
fn succeeds(ran: &Ran, order: &[&str], build: Build) {
    ran.ends_with(0).in_order(order);
    ran.prints(&[
        &format!("kernel {} -> {}", OLD.kver, build.kver),
        "no fatal findings",
    ]);
    ran.complains(&[
        "survey", "resolve", "transact", "locate", "clean", "generate", "verify", "commit",
    ]);
    let initramfs = format!("usr/lib/modules/{}/initramfs.img", build.kver);
    ran.require(
        ran.after.mode(&initramfs) == Some(0o600),
        "the initramfs is 0600",
    );
    let made = build.initramfs(crate::image::Fault::None);
    let found = ran.after.file(&initramfs).unwrap_or_default();
    let has_tail = found.starts_with(&made) && found.len() > made.len();
    ran.require(
        has_tail,
        "the initramfs is dracut's with the random segment",
    );
    let report = ran.report();
    ran.require(report["outcome"] == "committed", "the report says so");
    ran.require(
        report["labels"]["ostree.linux"] == build.kver,
        "the report has the label",
    );
}

#[test]
fn rpm_ostree_of_every_age() {
    struct Case {
        version: &'static str,
        layout: Option<&'static str>,
        seen: &'static [&'static str],
        order: &'static [&'static str],
    }
    let bypassed: &[&str] = &[TRANSACTION, INNER, DEPMOD, DRACUT, CLEANUP, COMMIT];
    let by_itself: &[&str] = &[TRANSACTION, DEPMOD, DRACUT, CLEANUP, COMMIT];
    let case = |version, layout, seen, order| Case {
        version,
        layout,
        seen,
        order,
    };
    let cases = [
        case(
            "2025.6",
            Some("layout=ostree\n"),
            &["layout=ostree"],
            bypassed,
        ),
        case("2025.6", None, &["layout=ostree"], bypassed),
        case(
            "2025.6",
            Some("layout=bls\n# mine\n"),
            &["layout=ostree"],
            bypassed,
        ),
        case("2026.2", None, &["layout=ostree"], bypassed),
        case(
            "2026.2",
            Some("layout=other\n"),
            &["layout=ostree"],
            bypassed,
        ),
        case("2024.8", None, &["a dracut in wrapped"], by_itself),
        case(
            "2024.8",
            Some("layout=ostree\n"),
            &["layout=ostree", "a dracut in wrapped"],
            by_itself,
        ),
        case("2023.5", None, &[], bypassed),
    ];
    for Case {
        version,
        layout,
        seen,
        order,
    } in cases
    {
        println!("rpm-ostree {version}, install.conf {layout:?}");
        let bed = Bed::rpm_ostree(version);
        bed.remove("usr/lib/kernel/install.conf");
        if let Some(layout) = layout {
            bed.write("usr/lib/kernel/install.conf", layout);
        }
        // rpm-ostree's wrapper of kernel-install would delete this directory, since it has a kmod and no vmlinuz.
        let kmod = "usr/lib/modules/6.9.4-kmods/extra/zfs.ko.xz";
        bed.write(kmod, "zfs");
        bed.write("usr/share/rpm/zfs.files", format!("/{kmod}\n"));
        bed.write("usr/share/rpm/zfs.pkg", "N\tzfs\t0\t2\t1\tx86_64\t(none)\n");
        bed.write("var/cache/rpm-ostree/repo", "cache");
        let ran = bed.run(&["replace", &bed.source()]);
        succeeds(&ran, order, NEW);
        let mut changes = CHANGES.to_vec();
        changes.push("-var/cache/rpm-ostree");
        ran.changes(&changes);
        let mut expected = seen.to_vec();
        expected.push(OLD.kver);
        if !seen.contains(&"a dracut in wrapped") {
            expected.push("6.9.4-kmods");
        }
        ran.require(
            ran.seen == expected,
            &format!("during the transaction: {expected:?}"),
        );
    }
}

#[test]
fn layouts_in_all_places() {
    let places = [
        "usr/lib/kernel/install.conf",
        "usr/lib/kernel/install.conf.d/00-layout.conf",
        "etc/kernel/install.conf",
        "etc/kernel/install.conf.d/00-layout.conf",
    ];
    for version in ["2024.5", "2025.6", "2026.2"] {
        for (place, layout) in places
            .iter()
            .flat_map(|place| [(place, "ostree"), (place, "bls")])
        {
            println!("rpm-ostree {version}, {place}: {layout}");
            let bed = Bed::rpm_ostree(version);
            bed.remove("usr/lib/kernel/install.conf");
            let text = format!("layout={layout}\n");
            bed.write(place, &text);
            let ran = bed.run(&["replace", &bed.source()]);
            let order = [TRANSACTION, INNER, DEPMOD, DRACUT, CLEANUP, COMMIT];
            succeeds(&ran, &order, NEW);
            ran.changes(&CHANGES);
        }
    }
}

#[test]
fn an_hmac_names_the_kernel_relatively() {
    let at = |kver: &str| format!("usr/lib/modules/{kver}/.vmlinuz.hmac");
    let digest = |kver: &str| hmac_of(&crate::image::vmlinuz(kver));
    let line = |kver: &str, path: &str| format!("{}  {path}vmlinuz-{kver}\n", digest(kver));
    // Fedora and third parties packaged a line with this name, which has no kver, for years.
    let short = format!("{}  vmlinuz\n", digest(NEW.kver));
    for packed in [line(NEW.kver, "/boot/"), short] {
        let bed = Bed::new();
        bed.write(&format!("stub/come/{}", at(NEW.kver)), &packed);
        let ran = bed.run(&["replace", &bed.source()]);
        ran.ends_with(0).complains(&[&format!(
            "/{}: changed the name in it to vmlinuz-{}, as ostree installs vmlinuz; previous content: {}",
            at(NEW.kver),
            NEW.kver,
            packed.trim_end()
        )]);
        let made = ran.after.file(&at(NEW.kver));
        ran.require(
            made == Some(line(NEW.kver, "").as_bytes()),
            "the name alone",
        );
    }

    // The digest is that of another kernel, as if the kernel had been signed after packaging. Without dracut's module
    // fips nothing reads the file, so it is written again with the digest of vmlinuz.
    let bed = Bed::new();
    bed.write(
        &format!("stub/come/{}", at(NEW.kver)),
        line(OLD.kver, "/boot/"),
    );
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(0);
    let made = ran.after.file(&at(NEW.kver));
    ran.require(
        made == Some(line(NEW.kver, "").as_bytes()),
        "the HMAC of vmlinuz",
    );

    // A correct line is kept; an invalid one is written again.
    for text in [line(OLD.kver, ""), "/boot/\n/boot/\n".to_owned()] {
        let bed = Bed::new();
        bed.write("stub/kver", OLD.kver);
        bed.dracut_makes(OLD, crate::image::Fault::None);
        bed.write(&at(OLD.kver), &text);
        let ran = bed.run(&["rebuild"]);
        ran.require(
            ran.after.file(&at(OLD.kver)) == Some(line(OLD.kver, "").as_bytes()),
            &text,
        );
        let is_right = text == line(OLD.kver, "");
        ran.require(
            !is_right || !ran.stderr.contains("as ostree installs vmlinuz"),
            "a correct line is not reported",
        );
    }
}

/// Computes an HMAC as sha512hmac does.
fn hmac_of(data: &[u8]) -> String {
    use sha2::{Digest, Sha512};
    let pad = |byte: u8| {
        let mut block = [byte; 128];
        for (place, key) in block.iter_mut().zip(b"FIPS-FTW-RHEL2009") {
            *place ^= key;
        }
        block
    };
    let inner = Sha512::new().chain_update(pad(0x36)).chain_update(data);
    let outer = Sha512::new().chain_update(pad(0x5c));
    ostree_kernel::package::hex(&outer.chain_update(inner.finalize()).finalize())
}

#[test]
fn another_compression_is_a_warning_in_the_report() {
    let bed = Bed::new();
    bed.behave("dracut", "other-compression");
    let ran = bed.run(&["replace", &bed.source()]);
    let says = "dracut did not use the requested compression: dracut[E]: Cannot execute compression command 'lzop -9', falling back to default";
    ran.ends_with(0).complains(&[&format!("warning: {says}")]);
    let warnings = ran.report()["warnings"].to_string();
    ran.require(warnings.contains(says), "the report has it");
}

#[test]
fn a_module_that_lacks_a_symbol_is_found() {
    let bed = Bed::new();
    bed.behave("depmod", "lacks-symbol");
    bed.write("stub/kver", OLD.kver);
    bed.dracut_makes(OLD, crate::image::Fault::None);
    let kver = OLD.kver;
    let depmod = format!("depmod -a -e -F /usr/lib/modules/{kver}/System.map {kver}");
    let map = format!("usr/lib/modules/{kver}/System.map");
    let says = format!(
        "warning modules-depmod: /lib/modules/{kver}/extra/x.ko: found it needs the symbol y, which does not exist"
    );
    // Debian's System.map has a single line without symbols.
    bed.write(
        &map,
        "ffffffffffffffff B The real System.map is in another package\n",
    );
    let ran = bed.run(&["rebuild"]);
    ran.ends_with(0);
    ran.require(!ran.stderr.contains(&depmod), "a stub is no map");
    bed.write(&map, "ffffffff81000000 T _text\n".repeat(4000));
    let ran = bed.run(&["rebuild"]);
    ran.ends_with(0)
        .complains(&[&format!("$ {depmod}")])
        .prints(&[&says]);
    let finding = &ran.report()["findings"][0];
    ran.require(
        finding["check"] == "modules-depmod" && finding["severity"] == "warning",
        "the report has it",
    );
}

#[test]
fn dnf_and_dnf5() {
    for (name, alone) in [
        ("dnf", "--disablerepo=* --nogpgcheck --disableexcludes=all"),
        (
            "dnf5",
            "--setopt=reposdir=/dev/null --setopt=localpkg_gpgcheck=False --setopt=disable_excludes=*",
        ),
    ] {
        let bed = Bed::dnf(name);
        bed.write("var/cache/dnf/packages", "cache");
        bed.write("tmp/x", "x");
        let transaction = TRANSACTION.replace(
            "rpm-ostree override replace",
            &format!(
                "{name} -y {alone} --setopt=installonlypkgs= --setopt=protected_packages= \
                 --setopt=protect_running_kernel=False --setopt=clean_requirements_on_remove=False install"
            ),
        );
        let ran = bed.run(&["replace", &bed.source()]);
        succeeds(&ran, &[&transaction, INNER, DEPMOD, DRACUT], NEW);
        let mut changes = vec!["-tmp/x"];
        changes.extend(CHANGES);
        changes.push("-var/cache/dnf");
        ran.changes(&changes);
    }
}

#[test]
fn exclusions_of_dnf_are_overridden_and_reported() {
    for (name, file, text, options) in [
        (
            "dnf5",
            "etc/dnf/versionlock.toml",
            "version = \"1.0\"\n[[packages]]\nname = \"kernel-core\"\n",
            "--setopt=disable_excludes=*",
        ),
        (
            "dnf5",
            "etc/dnf/libdnf5.conf.d/20-kernel.conf",
            "[main]\nexcludepkgs=kernel-core\n",
            "--setopt=disable_excludes=*",
        ),
        (
            "dnf",
            "etc/dnf/dnf.conf",
            "[main]\nexclude=kernel-c*\n",
            "--disableexcludes=all",
        ),
        (
            "dnf",
            "etc/dnf/plugins/versionlock.list",
            "kernel-core-0:6.1.7-100.fc40.*\n",
            "--disableexcludes=all --disableplugin=versionlock",
        ),
        (
            "dnf",
            "etc/dnf/protected.d/kernel.conf",
            "kernel-core\n",
            "--setopt=protected_packages=",
        ),
    ] {
        let bed = Bed::dnf(name);
        bed.write(file, text);
        if file.ends_with(".list") {
            bed.write("etc/dnf/plugins/versionlock.conf", "[main]\nenabled=1\n");
        }
        let ran = bed.run(&["replace", &bed.source()]);
        ran.ends_with(0);
        let order = ran.order();
        ran.require(order[0].contains(options), options);
        let said = format!("/{file} excludes, locks or protects kernel-core; this is overridden");
        ran.complains(&[&said]);
        let warnings = ran.report()["warnings"].to_string();
        ran.require(warnings.contains(&said), "the report says so");
    }
}

#[test]
fn another_build_of_the_same_version_is_installed_again() {
    let signed = |bed: &Bed| {
        let mut packages = OLD.packages();
        packages[1].files[1].1 = b"CONFIG_BLK_DEV_INITRD=y\nCONFIG_RD_GZIP=y\n# signed\n".to_vec();
        bed.offer(OLD, &packages);
        packages[1].clone()
    };
    for name in ["dnf", "dnf5"] {
        let bed = Bed::dnf(name);
        signed(&bed);
        let ran = bed.run(&["replace", &bed.source()]);
        ran.ends_with(0);
        let order = ran.order();
        let core = "reinstall /run/ostree-kernel/packages/kernel-core-6.1.7-100.fc40.x86_64.rpm";
        ran.require(order[0].ends_with(core), core);
        let config = format!("usr/lib/modules/{}/config", OLD.kver);
        let config = fs_err::read_to_string(bed.path(&config)).unwrap();
        ran.require(config.ends_with("# signed\n"), "its files came");
        ran.prints(&["  kernel-core  6.1.7-100.fc40  6.1.7-100.fc40\n"]);
        let again = bed.run(&["replace", &bed.source()]);
        again.ends_with(0).in_order(&[]).untouched();
        // A transaction that changes nothing is detected.
        let bed = Bed::dnf(name);
        signed(&bed);
        bed.behave(name, "nothing");
        let ran = bed.run(&["replace", &bed.source()]);
        ran.ends_with(1)
            .complains(&["Not installed: kernel-core-6.1.7"]);
    }
    let bed = Bed::new();
    signed(&bed);
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(3).in_order(&[]).untouched();
    ran.complains(&[
        "another build of the same version and release is installed",
        "rpm-ostree does not replace a package with one of the same version",
    ]);
}

#[test]
fn repositories_are_hidden_from_rpm_ostree() {
    let repo = "etc/yum.repos.d/fedora.repo";
    let bed = || {
        let bed = Bed::new();
        bed.write(repo, "[fedora]\nenabled=1\n");
        bed.write("etc/yum.repos.d/README", "not a repository");
        bed
    };
    let sees = |ran: &crate::ran::Ran| ran.seen.iter().any(|line| line == "repository fedora.repo");
    let ran = bed();
    let ran = ran.run(&["replace", &ran.source()]);
    ran.ends_with(0);
    ran.require(sees(&ran), "it is there without the option");
    for how in ["", "fail-before", "fail-after", "killed"] {
        let bed = bed();
        bed.behave("rpm-ostree", how);
        let dry = bed.run(&["replace", "--no-repos", "--dry-run", &bed.source()]);
        dry.prints(&["etc/yum.repos.d/*.repo  hidden during the transaction\n"]);
        let ran = bed.run(&["replace", "--no-repos", &bed.source()]);
        let is_done = how.is_empty() || how == "fail-after";
        ran.ends_with(i32::from(!is_done));
        ran.require(!sees(&ran), "it is hidden");
        let text = fs_err::read_to_string(bed.path(repo)).unwrap();
        ran.require(text == "[fedora]\nenabled=1\n", "it is back");
    }
    // The next run repairs what a killed run has left, and `status` reports it.
    let bed = bed();
    let saved = format!("{repo}.ostree-kernel-saved");
    fs_err::rename(bed.path(repo), bed.path(&saved)).unwrap();
    bed.run(&["status"]).prints(&[&saved]);
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(0);
    ran.require(sees(&ran) && ran.after.file(&saved).is_none(), "it is back");
    // If the transaction fails while repositories are enabled, the error advises `--no-repos`.
    let bed = Bed::new();
    bed.write(repo, "[fedora]\nenabled=1\n");
    bed.behave("rpm-ostree", "fail-before");
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(1).complains(&["add --no-repos"]);
}

#[test]
fn kvers_that_differ_from_the_package_version() {
    let rt = |build: Build, kver| Build {
        kver,
        name: "kernel-rt",
        ..build
    };
    let deb = Build {
        kver: "6.12.117+deb12-cloud-amd64",
        version: "6.12.117",
        release: "1",
        ..NEW
    };
    let table = [
        (
            rt(OLD, "6.1.7-100.fc40.x86_64+rt"),
            rt(NEW, "6.9.4-200.fc40.x86_64+rt"),
        ),
        (
            Build {
                kver: "6.1.0-41-cloud-amd64",
                version: "6.1.158",
                release: "1",
                ..OLD
            },
            deb,
        ),
    ];
    for (old, new) in table {
        let bed = Bed::new();
        bed.remove("usr/lib/modules");
        bed.remove("usr/share/rpm");
        bed.base(old);
        bed.offer(new, &new.packages());
        let ran = bed.run(&["replace", &bed.source()]);
        ran.ends_with(0).complains(&[new.kver]);
        ran.prints(&[&format!("kernel {} -> {}", old.kver, new.kver)]);
        let depmod = format!("depmod -a {}", new.kver);
        let dracut = format!("dracut --no-hostonly --kver {}", new.kver);
        ran.in_order(&[
            "rpm-ostree override",
            "kernel-install add",
            &depmod,
            &dracut,
            CLEANUP,
            COMMIT,
        ]);
        ran.changes(&[
            &format!("-usr/lib/modules/{}", old.kver),
            &format!("+usr/lib/modules/{}", new.kver),
            "+usr/share/ostree-kernel",
            "~usr/share/rpm",
        ]);
    }
}

#[test]
fn every_kind_of_source() {
    let bed = Bed::new();
    let files: Vec<_> = NEW.packages().iter().map(|it| bed.rpm(it)).collect();
    let files: Vec<_> = files
        .iter()
        .map(|file| file.to_str().unwrap().to_owned())
        .collect();
    let order = [TRANSACTION, INNER, DEPMOD, DRACUT, CLEANUP, COMMIT];

    let args = [&["replace".to_owned()], files.as_slice()].concat();
    succeeds(&bed.run(&args), &order, NEW);

    let bed = Bed::new();
    let urls = files.iter().map(|file| format!("file://{file}"));
    let args: Vec<_> = ["replace".to_owned()].into_iter().chain(urls).collect();
    succeeds(&bed.run(&args), &order, NEW);

    let bed = Bed::new();
    let server = Server::start(200, "application/x-rpm", move |path| {
        let file = files.iter().find(|file| file.ends_with(path));
        file.map(|file| fs_err::read(file).unwrap())
            .unwrap_or_default()
    });
    let urls = NEW.packages();
    let urls = urls
        .iter()
        .map(|it| server.url(&format!("{}.rpm", it.nevra())));
    let args: Vec<_> = ["replace".to_owned(), "--allow-unsigned".to_owned()]
        .into_iter()
        .chain(urls)
        .collect();
    succeeds(&bed.run(&args), &order, NEW);
}

#[test]
fn a_cliwrapped_base() {
    let bed = Bed::new();
    let dracut = fs_err::read(bed.path("usr/bin/dracut")).unwrap();
    bed.cliwrap();
    let ran = bed.run(&["replace", &bed.source()]);
    succeeds(
        &ran,
        &[TRANSACTION, INNER, DEPMOD, DRACUT, CLEANUP, COMMIT],
        NEW,
    );
    ran.complains(&["cliwrap is off: 2 programs restored, 1 wrappers removed"]);
    let mut changes = vec!["~usr/bin/dracut", "~usr/bin/rpm", "-usr/bin/yum"];
    changes.extend(&CHANGES[..2]);
    changes.push("-usr/libexec/rpm-ostree/wrapped");
    changes.extend(&CHANGES[2..]);
    ran.changes(&changes);
    ran.require(
        ran.after.file("usr/bin/dracut") == Some(&dracut),
        "dracut is itself again",
    );
    ran.require(
        !ran.seen.iter().any(|line| line.ends_with("is wrapped")),
        "off in time",
    );
}

#[test]
fn the_first_argument_may_be_kernel() {
    // `ostree kernel …` runs `ostree-kernel kernel …`.
    let bed = Bed::new();
    let root = bed.root().to_str().unwrap().to_owned();
    let args = ["kernel", "replace", "--root", &root, &bed.source()].map(str::to_owned);
    let ran = bed.run_exactly(&args, |_| {});
    succeeds(
        &ran,
        &[TRANSACTION, INNER, DEPMOD, DRACUT, CLEANUP, COMMIT],
        NEW,
    );
    ran.changes(&CHANGES);
}

#[test]
fn dracut_writes_to_the_log_that_is_read_and_to_no_other() {
    let bed = Bed::new();
    // Fedora's configuration of dracut has this line.
    bed.write("usr/lib/dracut/dracut.conf.d/01-dist.conf", "sysloglvl=5\n");
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(0);
    let conf = fs_err::read_to_string(bed.path("stub/dracut.conf")).unwrap();
    let ours = "sysloglvl=0\nkmsgloglvl=0\nfileloglvl=0\n";
    ran.require(conf.starts_with("sysloglvl=5\n"), "the user's is in force");
    ran.require(conf.ends_with(ours), "ours comes last");
    let left = fs_err::read_dir(bed.path("usr/lib/dracut/dracut.conf.d"));
    ran.require(left.unwrap().count() == 1, "ours is gone");
}

#[test]
fn arguments_after_the_dashes_go_to_dracut() {
    let bed = Bed::new();
    let ran = bed.run(&[
        "replace",
        &bed.source(),
        "--",
        "--omit",
        "plymouth",
        "--zstd",
    ]);
    let dracut = DRACUT.replace(" --stdlog", " --omit plymouth --zstd --stdlog");
    succeeds(
        &ran,
        &[TRANSACTION, INNER, DEPMOD, &dracut, CLEANUP, COMMIT],
        NEW,
    );
}

#[test]
fn dracut_packs_as_it_is_asked_to() {
    let bed = Bed::new();
    let options = ["replace", "--compress=zstd -9", &bed.source(), "--", "-v"];
    let dracut = DRACUT.replace(" --stdlog", " --compress zstd -9 -v --stdlog");
    let chain = [TRANSACTION, INNER, DEPMOD, &dracut, CLEANUP, COMMIT];
    succeeds(&bed.run(&options), &chain, NEW);
    let again = bed.run(&options);
    again.ends_with(0).changes(&[]);
    let otherwise = bed.run(&["replace", "--compress=zstd -1", &bed.source()]);
    otherwise.ends_with(0);
    let dracut = DRACUT.replace(" --stdlog", " --compress zstd -1 --stdlog");
    let ran = otherwise
        .order()
        .iter()
        .any(|line| line.starts_with(&dracut));
    otherwise.require(ran, "another compression is work to do");
}

#[test]
fn no_commit_cleans_nothing() {
    let bed = Bed::new();
    bed.write("var/cache/rpm-ostree/repo", "cache");
    let ran = bed.run(&["replace", "--no-commit", &bed.source()]);
    succeeds(&ran, &[TRANSACTION, INNER, DEPMOD, DRACUT], NEW);
    ran.changes(&CHANGES);

    let bed = Bed::dnf("dnf5");
    bed.write("var/cache/dnf/packages", "cache");
    let ran = bed.run(&["replace", "--no-commit", &bed.source()]);
    succeeds(&ran, &["dnf5 -y", INNER, DEPMOD, DRACUT], NEW);
    ran.changes(&CHANGES);
}

#[test]
fn a_sub_package_may_go() {
    let bed = Bed::new();
    let extra = crate::kernels::Pkg {
        name: "kernel-modules-extra".into(),
        provides: vec![("kernel-modules-extra-uname-r".into(), OLD.kver.into())],
        ..OLD.packages()[0].clone()
    };
    extra.install(&bed.root());
    let ran = bed.run(&["replace", "--remove", "kernel-modules-extra", &bed.source()]);
    let transaction = format!("{TRANSACTION} --remove=kernel-modules-extra");
    succeeds(
        &ran,
        &[&transaction, INNER, DEPMOD, DRACUT, CLEANUP, COMMIT],
        NEW,
    );
}

#[test]
fn a_dry_run_says_what_a_run_does() {
    for bed in [Bed::new(), Bed::rpm_ostree("2024.8"), Bed::dnf("dnf")] {
        bed.write("boot/symvers-6.1.7-100.fc40.x86_64.xz", "");
        let dry = bed.run(&["replace", "--dry-run", &bed.source()]);
        dry.ends_with(0).in_order(&[]).untouched();
        let packages = NEW.packages();
        for package in &packages {
            dry.prints(&[&package.nevra()]);
        }
        dry.prints(&[OLD.kver, NEW.kver, "initramfs.img  written"]);
        let file = bed.beside("out").join("plan.json");
        let (report, source) = (format!("--report={}", file.display()), bed.source());
        let json = bed.run(&["replace", "--dry-run", "--format", "json", &report, &source]);
        json.ends_with(0).in_order(&[]).untouched();
        let written = fs_err::read_to_string(file).unwrap();
        json.require(written == json.stdout, "--report has the plan");
        let json = json.json();

        let real = bed.run(&["replace", &bed.source()]);
        real.ends_with(0);
        let report = real.report();
        real.require(json["commands"] == report["commands"], "the same commands");
        real.require(json["packages"] == report["packages"], "the same packages");
        let commands: Vec<_> = report["commands"].as_array().unwrap().iter().collect();
        let lines: String = commands
            .iter()
            .map(|it| format!("\n  {}", it.as_str().unwrap()))
            .collect();
        dry.prints(&[&format!("commands, in order:{lines}\n")]);
        // The printed commands are those that ran, except variables, quotes and programs that a transaction starts
        // itself.
        let ran = real
            .order()
            .into_iter()
            .filter(|line| !line.starts_with("kernel-install"));
        let said = commands.iter().map(|line| {
            let words = line
                .as_str()
                .unwrap()
                .split(' ')
                .map(|word| word.trim_matches('\''));
            let words: Vec<_> = words
                .skip_while(|word| word.contains('=') && !word.starts_with('-'))
                .collect();
            words.join(" ")
        });
        real.require(
            ran.collect::<Vec<_>>() == said.collect::<Vec<_>>(),
            "what was said was run",
        );
    }
}

#[test]
fn rebuild_changes_the_initramfs_only() {
    for bed in [Bed::new(), Bed::dnf("dnf")] {
        let commit: &[&str] = if bed.path("usr/bin/ostree").exists() {
            &[CLEANUP, COMMIT]
        } else {
            &[]
        };
        bed.write("stub/kver", OLD.kver);
        bed.dracut_makes(OLD, crate::image::Fault::None);
        let depmod = format!("depmod -a {}", OLD.kver);
        let dracut = DRACUT.replace(NEW.kver, OLD.kver);
        let ran = bed.run(&["rebuild"]);
        let order = [&[depmod.as_str(), &dracut], commit].concat();
        ran.ends_with(0)
            .in_order(&order)
            .prints(&[OLD.kver, "no fatal findings"]);
        let dir = format!("usr/lib/modules/{}", OLD.kver);
        ran.changes(&[
            &format!("~{dir}/initramfs.img"),
            &format!("~{dir}/modules.dep"),
            "+usr/share/ostree-kernel",
        ]);
        let again = bed.run(&["rebuild", "--no-commit"]);
        again.ends_with(0).in_order(&[&depmod, &dracut]);
        again.require(again.report()["command"] == "rebuild", "the report says so");
    }
}

#[test]
fn the_report_is_stable() {
    let run = || {
        let bed = Bed::new();
        let file = bed.beside("out").join("report.json");
        let ran = bed.run(&[
            "replace",
            "--format",
            "json",
            "--report",
            file.to_str().unwrap(),
            &bed.source(),
        ]);
        ran.ends_with(0);
        let told = ran.stdout.clone();
        let kept = ran
            .after
            .file("usr/share/ostree-kernel/report.json")
            .unwrap()
            .to_vec();
        ran.require(told.as_bytes() == kept, "stdout is the report");
        ran.require(
            fs_err::read(&file).unwrap() == kept,
            "--report is the report",
        );
        let mode = ran.after.mode("usr/share/ostree-kernel/report.json");
        ran.require(mode == Some(0o644), "anybody may read it");
        let root = bed.root().to_str().unwrap().to_owned();
        ran.require(!told.contains(&root), "no path of the build host");
        (ran, told)
    };
    let ((ran, one), (_, two)) = (run(), run());
    ran.require(one == two, &format!("two runs differ: {two}"));
    let report = ran.report();
    let at = |pointer: &str| report.pointer(pointer).cloned().unwrap_or_default();
    for (pointer, expected) in [
        ("/schema", serde_json::json!(1)),
        ("/command", "replace".into()),
        ("/outcome", "committed".into()),
        ("/host/kind", "ostree-container".into()),
        ("/host/backend", "rpm-ostree".into()),
        ("/kernel/before/kver", OLD.kver.into()),
        ("/kernel/after/kver", NEW.kver.into()),
        (
            "/kernel/after/package",
            "kernel-core-6.9.4-200.fc40.x86_64".into(),
        ),
        ("/dracut/version", "059".into()),
        (
            "/dracut/modules",
            serde_json::json!(["base", "multipath", "nvmf", "ostree"]),
        ),
        ("/findings", serde_json::json!([])),
        ("/labels/ostree.linux", NEW.kver.into()),
    ] {
        ran.require(
            at(pointer) == expected,
            &format!("{pointer}: expected {expected}"),
        );
    }
    let commands = at("/commands");
    let first = format!("TMPDIR=/usr/lib/.ostree-kernel KERNEL_INSTALL_BYPASS=1 {TRANSACTION}");
    let dracut = format!("DRACUT_NO_XATTR=1 TMPDIR=/usr/lib/.ostree-kernel {DRACUT}");
    let expected = serde_json::json!([first, DEPMOD, dracut, CLEANUP, COMMIT]);
    ran.require(
        commands == expected,
        &format!("commands: expected {expected:#}"),
    );
    ran.require(
        at("/packages").as_array().map(Vec::len) == Some(4),
        "four packages",
    );
    for check in at("/checks").as_array().unwrap() {
        // The test's kernel has no .vmlinuz.hmac, the /init of its initramfs is not systemd, no certificate is given,
        // the rpmdb has no programs, and the tree is not a deployment of this machine.
        let expected = match check["check"].as_str() {
            Some(
                "kernel-hmac" | "initramfs-units" | "initramfs-sources" | "kernel-signer"
                | "module-signers" | "module-versions",
            ) => "not-applicable",
            Some(name) if name.starts_with("node-") => "not-applicable",
            _ => "good",
        };
        ran.require(check["answer"] == expected, &format!("not good: {check}"));
    }
}

#[test]
fn an_initramfs_that_others_could_read_is_not_left_so() {
    let bed = Bed::new();
    let initramfs = bed.path(&format!("usr/lib/modules/{}/initramfs.img", OLD.kver));
    fs_err::set_permissions(initramfs, std::fs::Permissions::from_mode(0o644)).unwrap();
    bed.write("stub/kver", OLD.kver);
    bed.dracut_makes(OLD, crate::image::Fault::None);
    let ran = bed.run(&["rebuild"]);
    ran.ends_with(0);
    let mode = ran
        .after
        .mode(&format!("usr/lib/modules/{}/initramfs.img", OLD.kver));
    ran.require(mode == Some(0o600), "0600");
}

#[test]
fn dracut_modules_of_the_base_are_carried_over() {
    let all = "--add ostree --add base multipath nvmf";
    let bed_with = |modules: &[&str]| {
        let bed = Bed::new();
        for module in modules {
            bed.write(
                &format!("usr/lib/dracut/modules.d/{module}/module-setup.sh"),
                "",
            );
        }
        bed
    };
    let everything = ["00base", "90multipath", "95nvmf", "95ostree"];
    let asks_for = |ran: &Ran, add: &str| {
        let dracut = DRACUT.replace("--add ostree", add);
        succeeds(
            ran,
            &[TRANSACTION, INNER, DEPMOD, &dracut, CLEANUP, COMMIT],
            NEW,
        );
    };

    let bed = bed_with(&everything);
    asks_for(&bed.run(&["replace", &bed.source()]), all);

    let bed = bed_with(&everything[..2]);
    asks_for(
        &bed.run(&["replace", &bed.source()]),
        "--add ostree --add base multipath",
    );

    let bed = bed_with(&everything);
    bed.write(
        "etc/dracut.conf.d/no.conf",
        "omit_dracutmodules+=\" nvmf \"\n",
    );
    let ran = bed.run(&["replace", &bed.source(), "--", "-o", "multipath"]);
    let dracut = DRACUT.replace("--add ostree", "--add ostree --add base");
    let dracut = dracut.replace(" --stdlog", " -o multipath --stdlog");
    succeeds(
        &ran,
        &[TRANSACTION, INNER, DEPMOD, &dracut, CLEANUP, COMMIT],
        NEW,
    );

    let bed = bed_with(&everything);
    asks_for(
        &bed.run(&["replace", &bed.source(), "--no-inherit"]),
        "--add ostree",
    );

    // dracut refuses a module before any work, and names it. It is run again without the module.
    let bed = bed_with(&everything);
    bed.behave("dracut", "refuses-base refuses-nvmf");
    let ran = bed.run(&["replace", &bed.source()]);
    let attempts = ran.ran.iter().filter(|line| line.starts_with("dracut"));
    let attempts: Vec<_> = attempts.cloned().collect();
    let expected = [
        all,
        "--add ostree --add multipath nvmf",
        "--add ostree --add multipath",
    ];
    let expected = expected.map(|add| DRACUT.replace("--add ostree", add));
    ran.ends_with(0)
        .complains(&["module nvmf, which cannot be added now"]);
    ran.require(attempts == expected, "dracut starts again without it");

    // dracut is not run again without `ostree`, which this program adds itself.
    let bed = bed_with(&everything);
    bed.behave("dracut", "refuses-ostree");
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(1)
        .complains(&["Module 'ostree' cannot be installed"]);
}

#[test]
fn a_second_run_finds_the_work_done() {
    for bed in [Bed::new(), Bed::dnf("dnf")] {
        let replace = |extra: &[&str]| {
            let source = bed.source();
            bed.run(&[&["replace", &source][..], extra].concat())
        };
        let first = replace(&[]);
        first.ends_with(0);
        let second = replace(&[]);
        second.ends_with(0).in_order(&[]).untouched();
        second.require(!second.stderr.contains("resolve"), "no payload was read");
        second.prints(&["an earlier run installed it, and built and verified its initramfs; nothing was changed"]);
        let json = replace(&["--format=json"]);
        json.ends_with(0).untouched();
        let mut expected = first.report();
        expected["outcome"] = "unchanged".into();
        json.require(json.json() == expected, "the report of the first run");

        // With other arguments for dracut, or after a change of the initramfs, the initramfs is built again.
        let other = replace(&["--", "--zstd"]);
        let order = other.ends_with(0).order();
        other.require(order.starts_with(&[DEPMOD]), "no transaction");
        let initramfs = format!("usr/lib/modules/{}/initramfs.img", NEW.kver);
        bed.write(&initramfs, "somebody else's");
        let healed = replace(&["--", "--zstd"]);
        healed.ends_with(0);
        healed.require(
            healed.after.file(&initramfs) == other.after.file(&initramfs),
            "built again",
        );
    }
}
