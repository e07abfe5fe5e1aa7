// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds drivers that modprobe's configuration in the initramfs, or a kernel argument, prevents from being loaded.
//! Hardening guides recommend such lines: `install erofs /bin/false`, `blacklist usb-storage`. An option with a value
//! that the module does not accept has the same effect.
//!
//! The rules are those of libkmod (`libkmod-module.c`), the library of modprobe and udev. A `blacklist` line applies
//! only to the requested module, an `install` line also to the modules that this module depends on. libkmod ignores the
//! `install` line of a module with a softdep that resolves to a module. `tests/it/modprobe.rs` compares the results
//! with `modprobe -b -n -v`.

use std::collections::BTreeMap;

use super::initramfs::modules;
use super::{Answer, Subject, TreeFacts, show};
use crate::initramfs::Inventory;
use crate::kernel::kver::Kver;
use crate::kernel::modules::{
    Aliases, Conf, ModuleList, ModuleName, ModulesDep, Parameter, may_be_refused, refused,
};

/// The parameters of modules, by module name.
pub type ModuleParameters = BTreeMap<ModuleName, Vec<Parameter>>;

/// The directories of the configuration, the one with the highest precedence first. Of several files with the same
/// name, only the one with the highest precedence is read (modprobe.d(5)).
const DIRS: [&str; 5] = [
    "etc/modprobe.d",
    "run/modprobe.d",
    "usr/local/lib/modprobe.d",
    "usr/lib/modprobe.d",
    "lib/modprobe.d",
];

/// The facts that decide whether modprobe loads a module in the initramfs.
pub(super) struct Modprobe<'a> {
    conf: Conf,
    /// Modules that the kernel itself refuses to load (`module_blacklist=`), each with the file that contains the
    /// argument.
    refused: Vec<(ModuleName, &'a str)>,
    /// The dependencies that the initramfs's modprobe reads; `None` if the lists are missing or damaged.
    dep: Option<&'a ModulesDep>,
    /// The parameters of modules for which the configuration sets options; `None` without a tree.
    parameters: Option<&'a ModuleParameters>,
    /// The aliases in the tree's `modules.alias`; `None` without a tree or without that file.
    aliases: Option<&'a Aliases>,
    /// The aliases in the tree's `modules.builtin.modinfo`; `None` without a tree or without that file.
    builtin_aliases: Option<&'a Aliases>,
}

impl<'a> Modprobe<'a> {
    /// Reads the configuration and the lists.
    ///
    /// # Errors
    /// When the tree's `modules.alias` or `modules.builtin.modinfo` could not be read.
    pub(super) fn of(subject: &'a Subject, inventory: &Inventory) -> Result<Self, Answer> {
        let could_not = |why: &String| Answer::CouldNotRun(why.clone());
        let lists = subject.tree.map(|tree| &tree.lists);
        let aliases = lists.map(|lists| lists.alias.as_ref().map_err(could_not));
        let builtin_aliases = lists.map(|lists| lists.builtin_alias.as_ref().map_err(could_not));
        Ok(Self {
            conf: conf(subject.kver, subject.tree, inventory),
            refused: refused_modules(subject),
            dep: modules::dep_inside(subject, inventory),
            parameters: subject.tree.map(|tree| &tree.parameters),
            aliases: aliases.transpose()?.and_then(Option::as_ref),
            builtin_aliases: builtin_aliases.transpose()?.and_then(Option::as_ref),
        })
    }

    /// Returns the reason why modprobe or the kernel does not load the module `name`, or a module that it depends on;
    /// `None` if the module is loaded. The caller excludes built-in modules.
    pub(super) fn why_not(&self, name: &ModuleName, builtin: &ModuleList) -> Option<String> {
        let file = self.conf.blacklisted_by(name);
        if let Some(file) = file.or_else(|| self.refused_by(name)) {
            return Some(format!("{file} blocks it"));
        }
        // The kernel requests the module of a file system by the alias `fs-NAME`, which kmod normalises to `fs_NAME`.
        let filesystem = [b"fs_", name.as_bytes()].concat();
        let mut asked = [name.as_bytes(), &filesystem].into_iter();
        let away = asked.find_map(|asked| self.conf.redirected_by(asked, name));
        let away = away.or_else(|| self.redirected_by_device(name));
        if let Some(file) = away.or_else(|| self.is_replaced(name, builtin)) {
            return Some(format!("{file} blocks it"));
        }
        if let Some(why) = self.refuses_options(name) {
            return Some(why);
        }
        let dep = self.dep?;
        let needs = dep.needs(dep.path_of(name)?)?.iter();
        needs.filter_map(ModuleName::of_path).find_map(|need| {
            if let Some(why) = self
                .refuses_options(&need)
                .filter(|_| !builtin.contains(&need))
            {
                return Some(format!("{need}, which it requires, is not loaded: {why}"));
            }
            let file = self.is_replaced(&need, builtin);
            let file = file.or_else(|| self.refused_by(&need))?;
            Some(format!("{file} blocks {need}, which it requires"))
        })
    }

    /// Returns the reason why the kernel refuses this module: the first option that the module does not accept, and the
    /// file with that option. `None` if all options are accepted, or if the module's parameters are not known.
    fn refuses_options(&self, name: &ModuleName) -> Option<String> {
        let parameters = self.parameters?.get(name)?;
        self.conf.options(name).find_map(|(options, file)| {
            let refused = refused(parameters, options)?;
            let kind = "a value that the module does not accept";
            Some(format!("{file} sets {}, {kind}", show(&refused)))
        })
    }

    fn refused_by(&self, name: &ModuleName) -> Option<&str> {
        let found = self.refused.iter().find(|(refused, _)| refused == name);
        found.map(|(_, file)| *file)
    }

    /// Returns the file with the first line such as `alias virtio:* off`, if such lines redirect all devices of the
    /// driver to another module. `None` if a device still loads the driver, or if no alias of a device is known for the
    /// driver.
    fn redirected_by_device(&self, name: &ModuleName) -> Option<&str> {
        // The alias of a device begins with the name of a bus and a colon. udev requests only such aliases; the kernel
        // requests others, such as `fs-xfs`.
        let own = self.aliases?.iter().filter(|(_, module)| *module == name);
        let own = own.filter(|(pattern, _)| pattern.contains(&b':'));
        let mut first = None;
        for (pattern, _) in own {
            // This alias of a device matches the pattern.
            let device: Vec<u8> = pattern
                .iter()
                .map(|&byte| match byte {
                    b'*' | b'?' => b'0',
                    byte => byte,
                })
                .collect();
            let file = self.conf.redirected_by(&device, name)?;
            first = first.or(Some(file));
        }
        first
    }

    /// Returns the modules that have this alias, according to the tree's lists; none without a tree.
    pub(super) fn serving(&self, alias: &[u8]) -> Vec<&ModuleName> {
        let lists = [self.aliases, self.builtin_aliases].into_iter().flatten();
        lists.flat_map(|aliases| aliases.resolve(alias)).collect()
    }

    /// Returns whether the aliases of built-in modules are known.
    pub(super) fn knows_builtin_aliases(&self) -> bool {
        self.builtin_aliases.is_some()
    }

    /// Returns the file with an `install` command that runs instead of loading the module. A command that calls
    /// modprobe or insmod does not count. Neither does the command of a module with a softdep that resolves, since
    /// libkmod ignores it.
    fn is_replaced(&self, name: &ModuleName, builtin: &ModuleList) -> Option<&str> {
        let (command, file) = self.conf.install(name)?;
        let mut words = command.split(u8::is_ascii_whitespace);
        let loads = words.any(|word| word.ends_with(b"modprobe") || word.ends_with(b"insmod"));
        let softdep = self.conf.softdep(name);
        let mut around = softdep.iter().flat_map(|it| it.pre.iter().chain(&it.post));
        (!loads && !around.any(|target| self.resolves(target, builtin))).then_some(file)
    }

    /// Returns whether libkmod resolves the name `target`: it is in the configuration, or it is the name or an alias of
    /// a module that is built in or in the initramfs. libkmod ignores the `install` command of a module that has such a
    /// name as a softdep.
    fn resolves(&self, target: &ModuleName, builtin: &ModuleList) -> bool {
        let is_inside = |name: &ModuleName| self.dep.is_some_and(|dep| dep.path_of(name).is_some());
        if self.conf.knows(target) || is_inside(target) || builtin.contains(target) {
            return true;
        }
        // If the aliases are not known, for example without a tree, the name is assumed to resolve.
        let Some(aliases) = self.aliases else {
            return true;
        };
        let serve = aliases.resolve(target.as_bytes());
        let builtin = self.builtin_aliases.map(|it| it.resolve(target.as_bytes()));
        serve.into_iter().any(is_inside) || builtin.is_some_and(|it| !it.is_empty())
    }
}

/// Returns the paths of the modules in the initramfs for which the configuration sets options that the kernel would
/// refuse for some type of parameter.
pub fn with_options(kver: &Kver, tree: &TreeFacts, inventory: &Inventory) -> Vec<Vec<u8>> {
    let conf = conf(kver, Some(tree), inventory);
    let has_options = |path: &[u8]| {
        let name = ModuleName::of_path(path);
        name.is_some_and(|name| {
            conf.options(&name)
                .any(|(options, _)| may_be_refused(options))
        })
    };
    let mut modules = inventory.kernel_modules();
    modules.retain(|path| has_options(path));
    modules.into_iter().map(<[u8]>::to_vec).collect()
}

/// Reads the modprobe configuration of the initramfs: the files `*.conf` in [`DIRS`], depmod's `modules.softdep`, the
/// kernel argument [`DRACUT`] in `etc/cmdline.d`, and the tree's kernel arguments about modules.
fn conf(kver: &Kver, tree: Option<&TreeFacts>, inventory: &Inventory) -> Conf {
    const SOFTDEP: &[u8] = b"modules.softdep";
    let mut files = BTreeMap::new();
    let softdep = format!("{}/modules.softdep", kver.dir());
    let text = inventory.data(softdep.as_bytes()).unwrap_or_default();
    files.insert(SOFTDEP, (softdep, text));
    for dir in DIRS {
        for (name, node) in inventory.children(dir.as_bytes()) {
            if !name.ends_with(b".conf") || name.starts_with(b".") {
                continue;
            }
            let content = inventory.content(node);
            let text = content.and_then(|content| content.data.as_deref());
            let path = format!("{dir}/{}", show(name));
            let file = (path, text.unwrap_or_default());
            files.entry(name).or_insert(file);
        }
    }
    let mut conf = Conf::default();
    for (path, text) in files.values() {
        conf.add(path, text);
    }
    for (name, node) in inventory.children(b"etc/cmdline.d") {
        let content = inventory.content(node).filter(|_| name.ends_with(b".conf"));
        let text = content.and_then(|content| content.data.as_deref());
        let path = format!("etc/cmdline.d/{}", show(name));
        conf.add(&path, &blacklist(text.unwrap_or_default(), &[DRACUT]));
    }
    let arguments = tree.map(|tree| tree.kernel_arguments.as_slice());
    for (path, argument) in arguments.unwrap_or_default() {
        conf.add(path, &blacklist(argument.as_bytes(), &[DRACUT, LIBKMOD]));
        // libkmod passes a kernel argument `MODULE.PARAMETER=VALUE` to the module as an option (`libkmod-config.c`).
        let name = argument.split('=').next().unwrap_or_default();
        if let Some(dot) = name.find('.') {
            let options = format!("options {} {}\n", &argument[..dot], &argument[dot + 1..]);
            conf.add(path, options.as_bytes());
        }
    }
    conf
}

/// The kernel argument with the modules that dracut blacklists. dracut reads it before udev starts, also from
/// `etc/cmdline.d` (`parse-kernel.sh` of dracut's module kernel-modules).
const DRACUT: &[u8] = b"rd.driver.blacklist=";

/// The kernel argument with the modules that libkmod blacklists. libkmod reads it from `/proc/cmdline`
/// (`libkmod-config.c`).
const LIBKMOD: &[u8] = b"modprobe.blacklist=";

/// Returns the modules of the last `module_blacklist=` in the tree's kernel arguments, each with the file that contains
/// the argument. Of several such arguments the kernel uses the last one (`core_param` in `kernel/module/main.c`).
fn refused_modules<'a>(subject: &Subject<'a>) -> Vec<(ModuleName, &'a str)> {
    let arguments = subject.tree.map(|tree| tree.kernel_arguments.as_slice());
    let mut arguments = arguments.unwrap_or_default().iter().rev();
    let last = arguments.find_map(|(path, argument)| {
        let names = argument.strip_prefix("module_blacklist=")?;
        Some((path.as_str(), names))
    });
    let names = last
        .into_iter()
        .flat_map(|(path, names)| names.split(',').map(move |it| (path, it)));
    let named = names.filter_map(|(path, name)| Some((ModuleName::new(name.as_bytes())?, path)));
    named.collect()
}

/// Returns modprobe's `blacklist` lines for the modules that words of `cmdline` list. Only words that begin with one of
/// `arguments` are used.
fn blacklist(cmdline: &[u8], arguments: &[&[u8]]) -> Vec<u8> {
    let words = cmdline.split(u8::is_ascii_whitespace);
    let list = |word: &'_ [u8]| -> Option<Vec<u8>> {
        let mut arguments = arguments.iter();
        arguments
            .find_map(|it| word.strip_prefix(*it))
            .map(<[u8]>::to_vec)
    };
    let lists: Vec<Vec<u8>> = words.filter_map(list).collect();
    let lists = lists.iter();
    let names = lists.flat_map(|list| list.split(|&byte| byte == b','));
    let line = |name: &[u8]| [b"blacklist ".as_slice(), name, b"\n"].concat();
    names.flat_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, module_path};
    use super::{ModuleName, ModuleParameters, Parameter};

    const ROOT: &str = "initramfs-root-drivers";

    /// Returns the reasons why these drivers cannot be loaded from an initramfs with this modprobe configuration and
    /// `modules.softdep`.
    fn blocked(drivers: &[&str], conf: &str, softdeps: &str) -> Vec<String> {
        let mut bench = Bench::good();
        bench.wanted.drivers = drivers.iter().map(|&it| it.to_owned()).collect();
        bench.put("etc/modprobe.d/a.conf", conf.as_bytes());
        bench.put(&module_path("modules.softdep"), softdeps.as_bytes());
        let found = bench.findings(ROOT).into_iter();
        let wanted = found.filter(|it| it.contains("--require-driver"));
        let why = |it: String| {
            let why = it.split_once(" is in the initramfs, but ").unwrap().1;
            why.split(';').next().unwrap().to_owned()
        };
        wanted.map(why).collect()
    }

    #[test]
    fn dependencies_of_a_driver() {
        const NEED: &str = "etc/modprobe.d/a.conf blocks jbd2, which it requires";
        const ITSELF: &str = "etc/modprobe.d/a.conf blocks it";
        // ext4 needs jbd2, and mbcache, which is built in.
        for (conf, softdeps, expected) in [
            ("install jbd2 /bin/false", "", &[NEED][..]),
            ("install jb* /bin/true", "", &[NEED]),
            ("install ext4 /bin/false", "", &[ITSELF]),
            ("install jbd2", "", &[]),
            ("install jbd2 /sbin/modprobe -i jbd2 && :", "", &[]),
            ("blacklist jbd2", "", &[]),
            ("blacklist ext4", "", &[ITSELF]),
            ("alias ext4 off", "", &[ITSELF]),
            ("alias fs-ext4 off", "", &[ITSELF]),
            ("alias fs-ext4 off\nalias fs-ext? ext4", "", &[]),
            ("alias fs-jbd2 off", "", &[]),
            ("install mbcache /bin/false", "", &[]),
            ("install gcm /bin/false", "", &[]),
            // kmod ignores the `install` command of a module with a softdep that resolves.
            (
                "install ext4 /bin/false",
                "softdep ext4 pre: virtio_blk",
                &[],
            ),
            (
                "install ext4 /bin/false",
                "softdep ext4 post: crypto-crc32c",
                &[],
            ),
            (
                "install ext4 /bin/false",
                "softdep ext4 pre: nothing",
                &[ITSELF],
            ),
            // The softdep is an alias of the module gcm, which is not in the initramfs, so the softdep does not
            // resolve.
            (
                "install ext4 /bin/false",
                "softdep ext4 pre: crypto-gcm",
                &[ITSELF],
            ),
            (
                "install jbd2 /bin/false",
                "softdep ext4 pre: virtio_blk",
                &[NEED],
            ),
            (
                "install jbd2 /bin/false",
                "softdep jbd2 pre: virtio_blk",
                &[],
            ),
            // libkmod uses only the first softdep line of a module.
            (
                "install ext4 /bin/false",
                "softdep ext4 pre: nothing\nsoftdep ext4 pre: virtio_blk",
                &[ITSELF],
            ),
        ] {
            assert_eq!(
                blocked(&["ext4"], conf, softdeps),
                expected,
                "{conf}; {softdeps}"
            );
        }
    }

    #[test]
    fn drivers_whose_devices_lead_elsewhere() {
        let mut bench = Bench::good();
        bench.wanted.drivers = vec!["virtio_blk".into()];
        let alias = b"alias virtio:d00000002v* virtio_blk\n";
        bench.disk.insert("modules.alias".into(), alias.to_vec());
        let of_driver = |bench: &Bench| {
            let mut found = bench.findings(ROOT);
            found.retain(|it| it.contains("--require-driver"));
            found.len()
        };
        for (line, expected) in [
            ("alias virtio:* off\n", 1),
            ("alias virtio:d00000002v* off\n", 1),
            ("alias virtio:d00000003v* off\n", 0),
            ("alias virtio:* virtio_blk\n", 0),
        ] {
            bench.put("etc/modprobe.d/a.conf", line.as_bytes());
            assert_eq!(of_driver(&bench), expected, "{line}");
        }
        bench.put(
            "etc/cmdline.d/a.conf",
            b"rd.driver.blacklist=x,virtio-blk rd.x\n",
        );
        assert_eq!(of_driver(&bench), 1);
    }

    /// Returns a parameter `depth` for ext4, jbd2 and mbcache.
    fn parameters() -> ModuleParameters {
        let of = |name: &str| {
            let name = ModuleName::new(name.as_bytes()).unwrap();
            (name, vec![Parameter::parse(b"depth:uint").unwrap()])
        };
        ["ext4", "jbd2", "mbcache"].map(of).into()
    }

    #[test]
    fn options_that_a_driver_refuses() {
        let found = |text: &str| {
            let mut bench = Bench::good();
            bench.wanted.drivers = vec!["ext4".into()];
            bench.put("etc/modprobe.d/a.conf", text.as_bytes());
            let mut found = bench.findings_with(ROOT, |tree| tree.parameters = parameters());
            found.retain(|it| it.contains("--require-driver"));
            found.concat()
        };
        for (text, expected) in [
            (
                "options ext4 depth=x\n",
                "but etc/modprobe.d/a.conf sets depth=x, a value",
            ),
            (
                "options ext4 depth=1\noptions ext4 depth=-1",
                "sets depth=-1, a value",
            ),
            (
                "options jbd2 depth",
                "but jbd2, which it requires, is not loaded: etc/modprobe.d/a.conf sets depth, a value",
            ),
        ] {
            assert!(found(text).contains(expected), "{text}: {}", found(text));
        }
        // The kernel ignores unknown parameters. An options line takes a name, not a pattern, and has no effect on a
        // built-in module such as mbcache.
        for text in [
            "options ext4 depth=1 other=x",
            "options ext* depth=x",
            "options mbcache depth=x",
        ] {
            assert_eq!(found(text), "", "{text}");
        }
    }

    #[test]
    fn drivers_that_arguments_of_the_kernel_block() {
        let found = |argument: &str| {
            let mut bench = Bench::good();
            bench.wanted.drivers = vec!["ext4".into()];
            let file = "usr/lib/bootc/kargs.d/a.toml".to_owned();
            let argument = argument.to_owned();
            let found = bench.findings_with(ROOT, |tree| {
                tree.kernel_arguments = vec![(file, argument)];
                tree.parameters = parameters();
            });
            let mut found = found
                .into_iter()
                .filter(|it| it.contains("--require-driver"));
            found.next().unwrap_or_default()
        };
        for argument in [
            "module_blacklist=x,ext4",
            "modprobe.blacklist=ext4",
            "rd.driver.blacklist=ext4,x",
            // ext4 requires jbd2, which the kernel itself refuses to load.
            "module_blacklist=jbd2",
            "ext4.depth=x",
            "jbd2.depth",
        ] {
            let found = found(argument);
            let is_named = ["blocks", "sets depth"]
                .iter()
                .any(|it| found.contains(&format!("kargs.d/a.toml {it}")));
            assert!(is_named, "{argument}: {found}");
        }
        for argument in [
            "ext4.depth=7",
            "ext4.other",
            "modprobe.blacklist=jbd2",
            "module_blacklist=ext3",
            "x.module_blacklist=ext4",
        ] {
            assert_eq!(found(argument), "", "{argument}");
        }
    }

    #[test]
    fn a_driver_that_is_needed_is_not_blocked() {
        let mut bench = Bench::good();
        bench.wanted.drivers = vec!["virtio_blk".into(), "erofs".into()];
        assert_eq!(bench.findings(ROOT), [""; 0]);
        // erofs is built in, so its install line has no effect.
        bench.put(
            "usr/lib/modprobe.d/a.conf",
            b"blacklist virtio-blk\ninstall erofs /bin/true\n",
        );
        let expected = "fatal virtio_blk in the initramfs: virtio_blk is in the initramfs, but usr/lib/modprobe.d/a.conf blocks it; in the initramfs, for --require-driver virtio_blk";
        assert_eq!(bench.findings(ROOT)[..1], [expected]);
        // A file in etc/modprobe.d replaces the one with the same name in usr/lib/modprobe.d.
        bench.put(
            "etc/modprobe.d/a.conf",
            b"options virtio_blk queue_depth=1\n",
        );
        assert_eq!(bench.findings(ROOT), [""; 0]);
    }
}
