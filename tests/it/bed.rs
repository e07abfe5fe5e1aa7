// SPDX-License-Identifier: MIT OR Apache-2.0
//! A root in a temporary directory, and runs of the program on it.
//!
//! Each run gets a hostile environment, a PATH whose programs leave a mark if they are started, and data on standard
//! input that must stay unread. [`Bed::run`] asserts the conditions that every run must fulfil.

use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::image::Fault;
use crate::kernels::{Build, NEW, OLD, Pkg};
use crate::privilege::need_root;
use crate::ran::Ran;
use crate::rpmdb;
use crate::tree::Snapshot;

/// The programs that the stubs call; the stubs are shell scripts.
const APPLETS: [&str; 21] = [
    "cat", "chmod", "cp", "dd", "env", "find", "grep", "kill", "ls", "mkdir", "mv", "pwd",
    "readlink", "rm", "sed", "setsid", "sh", "sleep", "sort", "touch", "wc",
];

/// Programs that rpm-ostree wraps during a transaction; no test runs them.
pub const PROGRAMS: [&str; 4] = ["systemctl", "useradd", "groupadd", "usermod"];

/// Variables of the caller that no child process may inherit.
const HOSTILE: [(&str, &str); 13] = [
    ("DRACUT_BINDIR", "/hostile"),
    ("DRACUT_RUNTIMEDIR", "/hostile"),
    ("DRACUT_LDD", "/hostile"),
    ("DRACUT_INSTALL", "/hostile"),
    ("KERNEL_INSTALL_PLUGINS", "/hostile"),
    ("SYSTEMD_OFFLINE", "hostile"),
    ("DRACUT_TMPDIR", "/hostile"),
    ("DRACUT_NO_XATTR", "hostile"),
    ("LD_LIBRARY_PATH", "/hostile"),
    ("KERNEL_INSTALL_LAYOUT", "hostile"),
    ("KERNEL_INSTALL_BYPASS", "hostile"),
    ("RPMOSTREE_CLIWRAP_SKIP", "hostile"),
    ("TMPDIR", "/hostile"),
];

/// The time limit of a run, and of a wait for a condition.
const LIMIT: Duration = Duration::from_secs(120);

/// A root with the base's kernel and with stubs, and next to the root the RPMs of the new kernel.
pub struct Bed {
    dir: TempDir,
}

impl Bed {
    /// Creates the root of an ostree container with this version of rpm-ostree. Its install.conf of kernel-install has
    /// `layout=ostree`.
    pub fn rpm_ostree(version: &str) -> Self {
        let bed = Self::bare(OLD, NEW);
        bed.stub("rpm-ostree");
        bed.stub("ostree");
        bed.write(
            "usr/libexec/libostree/ext/ostree-container",
            b"the verb is ostree's",
        );
        bed.write("stub/rpm-ostree.version", version);
        let package = format!("N\trpm-ostree\t0\t{version}\t1\tx86_64\t(none)\n");
        bed.write("usr/share/rpm/rpm-ostree.pkg", package);
        let config = "[core]\nrepo_version=1\nmode=bare-split-xattrs\n";
        bed.write("sysroot/ostree/repo/config", config);
        bed.write("usr/lib/kernel/install.conf", "layout=ostree\n");
        bed
    }

    /// Creates the root that most tests use: an ostree container with rpm-ostree 2025.6.
    pub fn new() -> Self {
        Self::rpm_ostree("2025.6")
    }

    /// Creates a container without an ostree repository, with `dnf` or `dnf5`.
    pub fn dnf(name: &str) -> Self {
        let bed = Self::bare(OLD, NEW);
        bed.stub_as("dnf", name);
        bed
    }

    /// Creates a root with the kernel `old`, the RPMs of `new` and the programs of every base, but without a backend.
    fn bare(old: Build, new: Build) -> Self {
        need_root();
        let dir = TempDir::with_prefix("ostree-kernel-it-").unwrap();
        let bed = Self { dir };
        for name in [
            "proc",
            "sys",
            "dev",
            "run",
            "tmp",
            "var/tmp",
            "var/cache",
            "boot",
            "etc",
            "usr/bin",
            "usr/sbin",
            "usr/lib/dracut/dracut.conf.d",
            "usr/lib/modules",
            "usr/lib/ostree-boot",
            "usr/lib64",
            "usr/libexec/rpm-ostree",
            "usr/share",
            "stub/do",
            "stub/come",
            "stub/stay",
        ] {
            fs_err::create_dir_all(bed.path(name)).unwrap();
        }
        bed.write("usr/lib/os-release", "ID=stub\n");
        for name in ["bin", "sbin", "lib"] {
            symlink(format!("usr/{name}"), bed.path(name)).unwrap();
        }
        symlink("usr/lib64", bed.path("lib64")).unwrap();
        match program_of_the_machine("busybox") {
            Some(busybox) => {
                bed.copy_with_libraries(&busybox);
                for applet in APPLETS {
                    symlink("busybox", bed.path(&format!("usr/bin/{applet}"))).unwrap();
                }
            }
            None => {
                for applet in APPLETS {
                    let found = program_of_the_machine(applet);
                    bed.copy_with_libraries(
                        &found.unwrap_or_else(|| panic!("no {applet} in PATH")),
                    );
                }
            }
        }
        for program in PROGRAMS {
            bed.program(&format!("usr/bin/{program}"), &format!("\x7fELF {program}"));
        }
        let zstd = "#!/bin/sh\ncase \"$*\" in *--levle*) echo 'Incorrect parameter: --levle' >&2; exit 1 ;; esac\nexec cat\n";
        bed.program("usr/bin/zstd", zstd);
        let lib = stub_source("lib.sh");
        fs_err::copy(lib, bed.path("stub/lib.sh")).unwrap();
        for name in ["rpm", "dracut", "depmod", "kernel-install"] {
            bed.stub(name);
        }
        bed.write("usr/lib/os-release", "ID=fedora\n");
        bed.base(old);
        bed.offer(new, &new.packages());
        bed
    }

    /// Copies a program of the machine into `usr/bin` of the root, and the libraries that the program needs to the same
    /// paths as on the machine.
    pub fn copy_with_libraries(&self, program: &Path) {
        let name = program.file_name().unwrap().to_str().unwrap();
        fs_err::copy(program, self.path(&format!("usr/bin/{name}"))).unwrap();
        #[expect(clippy::disallowed_methods, reason = "the test prepares its root")]
        let libraries = Command::new("ldd").arg(program).output().unwrap().stdout;
        let libraries = String::from_utf8(libraries).unwrap();
        for library in libraries
            .split_whitespace()
            .filter(|it| it.starts_with('/'))
        {
            let copy = self.path(library.trim_start_matches('/'));
            if !copy.exists() {
                fs_err::create_dir_all(copy.parent().unwrap()).unwrap();
                fs_err::copy(library, copy).unwrap();
            }
        }
    }

    /// Installs `old` as the base's kernel.
    pub fn base(&self, old: Build) {
        for package in old.packages() {
            package.install(&self.root());
        }
        let dir = format!("usr/lib/modules/{}", old.kver);
        self.write(&format!("{dir}/initramfs.img"), old.initramfs(Fault::None));
        let dep = old
            .modules()
            .iter()
            .map(|(path, _)| format!("{path}:\n"))
            .collect::<String>();
        self.write(&format!("{dir}/modules.dep"), dep);
        let mode = std::fs::Permissions::from_mode(0o600);
        fs_err::set_permissions(self.path(&format!("{dir}/initramfs.img")), mode).unwrap();
    }

    /// Puts `packages`, which are of the build `new`, into the directory [`Bed::rpms`], and prepares the stubs: the
    /// backend's transaction will install these packages, and dracut will build the initramfs of `new`.
    pub fn offer(&self, new: Build, packages: &[Pkg]) {
        for dir in [self.rpms(), self.path("stub/come")] {
            let _ = fs_err::remove_dir_all(&dir);
            fs_err::create_dir_all(&dir).unwrap();
        }
        for package in packages {
            package.install(&self.path("stub/come"));
            self.rpm(package);
        }
        self.write("stub/kver", new.kver);
        self.write("stub/initramfs.img", new.initramfs(Fault::None));
    }

    /// Writes the RPM of a package into [`Bed::rpms`], and returns the path of the file.
    pub fn rpm(&self, package: &Pkg) -> PathBuf {
        let file = self.rpms().join(format!("{}.rpm", package.nevra()));
        fs_err::write(&file, package.rpm()).unwrap();
        file
    }

    /// Returns the root.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// Returns a path below the root.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    /// Creates a directory next to the root.
    pub fn beside(&self, name: &str) -> PathBuf {
        let dir = self.dir.path().join(name);
        fs_err::create_dir_all(&dir).unwrap();
        dir
    }

    /// Returns the directory of RPMs, next to the root.
    pub fn rpms(&self) -> PathBuf {
        self.dir.path().join("rpms")
    }

    /// Returns the directory of RPMs as a source, which is an argument of `replace`.
    pub fn source(&self) -> String {
        self.rpms().to_str().unwrap().to_owned()
    }

    /// Writes a file below the root, and creates its parent directories.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
    }

    /// Writes an executable file below the root.
    pub fn program(&self, path: &str, content: &str) {
        self.write(path, content);
        executable(&self.path(path));
    }

    /// Removes a file or a directory below the root.
    pub fn remove(&self, path: &str) {
        let path = self.path(path);
        if path.is_dir() && !path.is_symlink() {
            fs_err::remove_dir_all(path).unwrap();
        } else {
            fs_err::remove_file(path).unwrap();
        }
    }

    /// Removes a file below the root, if it exists.
    pub fn remove_if_there(&self, path: &str) {
        let _ = fs_err::remove_file(self.path(path));
    }

    /// Sets the behaviour of the stub `program`: words of its script in tests/stub, such as `fail`, separated by
    /// spaces.
    pub fn behave(&self, program: &str, how: &str) {
        self.write(&format!("stub/do/{program}"), how);
    }

    /// Sets the initramfs that dracut builds.
    pub fn dracut_makes(&self, build: Build, fault: Fault) {
        self.write("stub/initramfs.img", build.initramfs(fault));
    }

    /// Turns the root into a cliwrapped base, as `rpm-ostree cliwrap install-to-root` does, for rpm, dracut and yum.
    pub fn cliwrap(&self) {
        for name in ["rpm", "dracut"] {
            let original = format!("usr/libexec/rpm-ostree/wrapped/{name}");
            fs_err::create_dir_all(self.path(&original).parent().unwrap()).unwrap();
            fs_err::rename(self.path(&format!("usr/bin/{name}")), self.path(&original)).unwrap();
            self.wrapper(&format!("usr/bin/{name}"));
        }
        self.wrapper("usr/bin/yum");
    }

    /// Writes one of rpm-ostree's wrapper scripts. If the script is started, it leaves a mark.
    pub fn wrapper(&self, path: &str) {
        self.program(
            path,
            "#!/bin/sh\necho wrapper >>/stub/mark\n# exec /usr/bin/rpm-ostree cliwrap $0 \"$@\"\n",
        );
    }

    fn stub(&self, name: &str) {
        self.stub_as(name, name);
    }

    fn stub_as(&self, source: &str, name: &str) {
        let path = self.path(&format!("usr/bin/{name}"));
        fs_err::copy(stub_source(source), &path).unwrap();
        executable(&path);
    }

    /// Creates a directory for PATH. Its programs leave a mark if they are started.
    fn hostile_path(&self) -> PathBuf {
        let dir = self.beside("hostile");
        let mark = self.path("stub/mark");
        for name in [
            "rpm",
            "rpm-ostree",
            "dnf",
            "dnf5",
            "depmod",
            "dracut",
            "ostree",
            "kernel-install",
            "systemctl",
            "chroot",
            "sh",
            "mount",
            "gpg",
            "curl",
        ] {
            let path = dir.join(name);
            let text = format!("#!/bin/sh\necho {name} >>{}\n", mark.display());
            fs_err::write(&path, text).unwrap();
            executable(&path);
        }
        dir
    }

    /// Runs `ostree-kernel --root ROOT ARGS`, and asserts the conditions that every run must fulfil.
    #[track_caller]
    pub fn run<S: AsRef<str>>(&self, args: &[S]) -> Ran {
        let mut all = vec![
            "--root".to_owned(),
            self.root().to_str().unwrap().to_owned(),
        ];
        all.extend(args.iter().map(|arg| arg.as_ref().to_owned()));
        self.run_exactly(&all, |_| {})
    }

    /// Runs the program as [`Bed::run`] does, but without `--root`. `change` can change the command before it is
    /// started.
    #[track_caller]
    pub fn run_exactly(&self, args: &[String], change: impl FnOnce(&mut Command)) -> Ran {
        let program = Path::new(env!("CARGO_BIN_EXE_ostree-kernel"));
        self.run_program(program, args, None, change)
    }

    /// Runs the program as [`Bed::run`] does, and sends it `signal` after the time `after`.
    #[track_caller]
    pub fn run_and_kill<S: AsRef<str>>(&self, args: &[S], signal: Signal, after: Duration) -> Ran {
        self.run_and_signal(args, signal, &|| std::thread::sleep(after))
    }

    /// Runs the program as [`Bed::run`] does, and sends it `signal` when `moment` returns.
    #[track_caller]
    pub fn run_and_signal<S: AsRef<str>>(
        &self,
        args: &[S],
        signal: Signal,
        moment: &dyn Fn(),
    ) -> Ran {
        let mut all = vec!["--root".to_owned(), self.root().display().to_string()];
        all.extend(args.iter().map(|arg| arg.as_ref().to_owned()));
        let program = Path::new(env!("CARGO_BIN_EXE_ostree-kernel"));
        self.run_program(program, &all, Some((signal, moment)), |_| {})
    }

    /// Waits until a stub has been started whose command line begins with `start`.
    pub fn wait_for(&self, start: &str) {
        let begun = || {
            let log = fs_err::read_to_string(self.path("stub/order.log")).unwrap_or_default();
            log.lines().any(|line| line.starts_with(start))
        };
        wait_until(start, begun);
    }

    /// Waits until all supervisors that a killed run has left behind have ended.
    fn wait_for_orphans(&self) {
        let root = self.root().display().to_string();
        let is_one = |line: &[u8]| {
            let line = String::from_utf8_lossy(line);
            let mut words = line.split('\0');
            words.any(|word| ["__supervise", "__init"].contains(&word))
                && words.any(|it| it == root)
        };
        wait_until("the end of all programs", || {
            !commands().iter().any(|it| is_one(it))
        });
    }

    /// Mounts a new file system of `size` bytes, with a copy of the root, over the root. The returned guard unmounts
    /// the file system.
    pub fn on_a_small_disk(&self, size: u64) -> SmallDisk {
        self.small_disk("", size)
    }

    /// Mounts a new file system of `size` bytes, with a copy of the directory `dir` of the root, over that directory.
    /// The returned guard unmounts the file system.
    pub fn small_disk(&self, dir: &str, size: u64) -> SmallDisk {
        let (small, root) = (self.beside("small"), self.path(dir));
        fs_err::create_dir_all(&root).unwrap();
        let options = format!("size={size}");
        let none: Option<&str> = None;
        mount(
            Some("tmpfs"),
            &small,
            Some("tmpfs"),
            MsFlags::empty(),
            Some(options.as_str()),
        )
        .unwrap();
        #[expect(clippy::disallowed_methods, reason = "the test prepares its root")]
        let copied = Command::new("cp")
            .arg("-a")
            .arg(root.join("."))
            .arg(&small)
            .status();
        assert!(copied.unwrap().success());
        mount(Some(&small), &root, none, MsFlags::MS_BIND, none).unwrap();
        umount2(&small, MntFlags::MNT_DETACH).unwrap();
        SmallDisk(root)
    }

    /// Copies the program to a directory outside of the root, where every user may run the copy, and returns its path.
    pub fn copy_of_program(&self) -> PathBuf {
        let mode = std::fs::Permissions::from_mode(0o755);
        fs_err::set_permissions(self.dir.path(), mode).unwrap();
        let copy = self.beside("bin").join("ostree-kernel");
        // cp copies the file. If this process wrote the copy, a child that another test starts at the same time would
        // inherit the file open for writing, and executing the copy would fail (ETXTBSY).
        #[expect(clippy::disallowed_methods, reason = "a writer with no other children")]
        let copied = Command::new("cp")
            .args([
                env!("CARGO_BIN_EXE_ostree-kernel").as_ref(),
                copy.as_os_str(),
            ])
            .status();
        assert!(copied.unwrap().success());
        copy
    }

    /// Runs `program` as [`Bed::run_exactly`] runs the program under test. `program` is a copy of that program, or
    /// another program that starts it. If there is a `signal`, it is sent when its function returns.
    #[track_caller]
    pub fn run_program(
        &self,
        program: &Path,
        args: &[String],
        signal: Option<(Signal, &dyn Fn())>,
        change: impl FnOnce(&mut Command),
    ) -> Ran {
        for log in [
            "order.log",
            "env.log",
            "stdin.log",
            "seen.log",
            "state.log",
            "mark",
            "kill",
        ] {
            let _ = fs_err::remove_file(self.path(&format!("stub/{log}")));
        }
        let mut args = args.to_vec();
        // Tests must not use the cache of this machine.
        if let Some(at) = args.iter().position(|arg| arg == "replace")
            && !args.iter().any(|arg| arg.starts_with("--cache-dir"))
        {
            let cache = format!("--cache-dir={}", self.beside("cache").display());
            args.insert(at + 1, cache);
        }
        rpmdb::write(&self.root());
        let before = Snapshot::read(&self.root());
        let (unread, mut typed) = std::io::pipe().unwrap();
        typed.write_all(b"yes\n").unwrap();
        #[expect(clippy::disallowed_methods, reason = "the program under test")]
        let mut command = Command::new(program);
        command
            .args(&args)
            .env_clear()
            .env("PATH", self.hostile_path())
            .envs(HOSTILE)
            .current_dir(self.beside("cwd"))
            .stdin(Stdio::from(unread.try_clone().unwrap()))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        change(&mut command);
        let child = command.spawn().unwrap();
        let (root, done) = (self.root(), AtomicBool::new(false));
        let (status, stdout, stderr) = std::thread::scope(|scope| {
            scope.spawn(|| rpmdb::serve(&root, &done));
            if let Some((signal, moment)) = signal {
                moment();
                kill(Pid::from_raw(child.id() as i32), signal).unwrap();
            }
            let kill_it = self.path("stub/kill");
            let ended = wait_and(child, &|child| {
                if kill_it.exists() {
                    child.kill().unwrap();
                }
            });
            drop((command, typed));
            self.wait_for_orphans();
            done.store(true, Ordering::Relaxed);
            ended
        });
        let mut rest = String::new();
        { unread }.read_to_string(&mut rest).unwrap();
        let log = |name: &str| {
            let text = fs_err::read_to_string(self.path(&format!("stub/{name}")));
            text.unwrap_or_default()
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let ran = Ran {
            command: format!("ostree-kernel {}", args.join(" ")),
            status,
            stdout,
            stderr,
            ran: log("order.log"),
            seen: log("seen.log"),
            env: log("env.log"),
            before,
            after: Snapshot::read(&self.root()),
        };
        ran.require(rest == "yes\n", "standard input was read");
        let mark = log("mark");
        ran.require(mark.is_empty(), &format!("these must not run: {mark:?}"));
        ran.house_rules(&log("stdin.log"));
        ran
    }
}

/// A mounted file system, which is unmounted on drop.
pub struct SmallDisk(PathBuf);

impl Drop for SmallDisk {
    fn drop(&mut self) {
        umount2(&self.0, MntFlags::MNT_DETACH).unwrap();
    }
}

fn stub_source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/stub")
        .join(name)
}

fn executable(path: &Path) {
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Waits until a condition holds; panics after a time limit, with the name `what` of the condition.
pub fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LIMIT, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Returns the command lines of all processes, from `/proc`.
pub fn commands() -> Vec<Vec<u8>> {
    let processes = fs_err::read_dir("/proc").unwrap().flatten();
    let lines = processes.map(|it| fs_err::read(it.path().join("cmdline")).unwrap_or_default());
    lines.collect()
}

/// Waits until the process ends; returns its exit status, standard output and standard error. The status is `None` if a
/// signal ended the process, or if it was killed because it hung.
pub fn wait(child: Child) -> (Option<i32>, String, String) {
    wait_and(child, &|_| {})
}

/// Waits as [`wait`] does, and calls `meanwhile` repeatedly until the process ends.
fn wait_and(mut child: Child, meanwhile: &dyn Fn(&mut Child)) -> (Option<i32>, String, String) {
    let drain = |stream: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(mut stream) = stream {
                stream.read_to_end(&mut text).unwrap();
            }
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let stdout = drain(child.stdout.take().map(|stream| Box::new(stream) as _));
    let stderr = drain(child.stderr.take().map(|stream| Box::new(stream) as _));
    let start = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status.code(),
            None if start.elapsed() > LIMIT => {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            None => {
                meanwhile(&mut child);
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    };
    (status, stdout.join().unwrap(), stderr.join().unwrap())
}

/// Returns the path of a program in PATH. `OSTREE_KERNEL_TESTS_BUSYBOX=no` hides busybox, as on a machine without it.
pub fn program_of_the_machine(name: &str) -> Option<PathBuf> {
    if name == "busybox"
        && std::env::var_os("OSTREE_KERNEL_TESTS_BUSYBOX").is_some_and(|it| it == "no")
    {
        return None;
    }
    which::which(name).ok()
}
