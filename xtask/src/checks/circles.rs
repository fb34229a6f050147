//! No module of a crate takes something from another that takes something from it, over however many in between.
//!
//! A module is a file. It takes what its paths name: `use` declarations, and paths in code, macros too. A name that is
//! only passed on (`pub use`) is taken from where it is defined. So a parent that declares its children and passes on
//! what they have is in no circle with them. Tests may take from everywhere: they are left out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree, Visibility};

use super::check::Check;
use crate::failure::{Failure, Result};

pub const MODULES_ARE_IN_NO_CIRCLE: Check = Check {
    name: "modules of a crate take from each other in one direction",
    reason: "of modules in a circle none can be read, tested or moved without all the others",
    find: |workspace| {
        let files: BTreeMap<PathBuf, String> = workspace.text_files()?.into_iter().collect();
        let mut found = Vec::new();
        for folder in files.keys().filter_map(|file| file.parent().filter(|_| file.ends_with("Cargo.toml"))) {
            for root in ["src/lib.rs", "src/main.rs"].map(|root| folder.join(root)) {
                if files.contains_key(&root) {
                    let circles = Modules::read(&files, &root)?.circles();
                    found.extend(circles.iter().map(|of| format!("{}: {of}", folder.display())));
                }
            }
        }
        Ok(found)
    },
};

/// The way to a module from the root of its crate.
type Name = Vec<String>;

/// The modules of one crate.
#[derive(Debug, Default)]
struct Modules(BTreeMap<Name, Module>);

#[derive(Debug, Default)]
struct Module {
    children: BTreeSet<String>,
    defined: BTreeSet<String>,
    /// The names that it has of others, and whose names it has all of.
    named: BTreeMap<String, Vec<String>>,
    named_whole: Vec<Vec<String>>,
    /// The paths of what it takes.
    paths: BTreeSet<Vec<String>>,
}

impl Modules {
    fn read(files: &BTreeMap<PathBuf, String>, root: &Path) -> Result<Self> {
        let mut modules = Self::default();
        let folder = root.parent().unwrap_or(Path::new("")).to_owned();
        modules.add(files, root, &folder, Vec::new())?;
        Ok(modules)
    }

    /// Reads a file, and those of its children, which are in `folder`.
    fn add(
        &mut self,
        files: &BTreeMap<PathBuf, String>,
        file: &Path,
        folder: &Path,
        name: Name,
    ) -> Result<()> {
        let text = files.get(file).map(String::as_str).unwrap_or_default();
        let syntax = syn::parse_file(text)
            .map_err(|error| Failure::new(format!("{} cannot be read: {error}", file.display())))?;
        let mut module = Module::default();
        for child in syntax.items.iter().filter_map(child_in_a_file) {
            let path = [folder.join(format!("{child}.rs")), folder.join(&child).join("mod.rs")];
            let Some(path) = path.iter().find(|path| files.contains_key(*path)) else { continue };
            let of_child = name.iter().cloned().chain([child.clone()]).collect();
            self.add(files, path, &folder.join(&child), of_child)?;
            module.children.insert(child);
        }
        Reading { module: &mut module, nested: 0 }.visit_file(&syntax);
        self.0.insert(name, module);
        Ok(())
    }

    /// What ties modules: of each circle its members, and the shortest way around.
    fn circles(&self) -> Vec<String> {
        let taken: Taken<'_> = self.0.keys().map(|name| (name, self.taken_by(name))).collect();
        let mut circles = Vec::new();
        let mut seen = BTreeSet::new();
        for start in self.0.keys() {
            if seen.contains(start) {
                continue;
            }
            let Some(way) = way_around(&taken, start) else { continue };
            let from_start = reached(&taken, start);
            let members: BTreeSet<&Name> =
                from_start.into_iter().filter(|other| reached(&taken, other).contains(start)).collect();
            let steps = way
                .iter()
                .map(|(module, what, from)| format!("{} takes {what} from {}", shown(module), shown(from)));
            let steps: Vec<String> = steps.collect();
            let all: Vec<String> = members.iter().map(|name| shown(name)).collect();
            circles.push(format!(
                "a circle of {} modules ({}): {}",
                all.len(),
                all.join(", "),
                steps.join(", ")
            ));
            seen.extend(members);
        }
        circles
    }

    /// The other modules that one takes from, each with something that it takes.
    fn taken_by<'a>(&'a self, name: &'a Name) -> BTreeMap<&'a Name, String> {
        let mut taken = BTreeMap::new();
        let Some(module) = self.0.get(name) else { return taken };
        for path in &module.paths {
            if let Some((from, what)) = self.resolve(name, path, 0)
                && from != name
            {
                taken.entry(from).or_insert(what);
            }
        }
        taken
    }

    /// The module that defines what a path leads to, seen from a module, and what that is.
    fn resolve(&self, from: &Name, path: &[String], depth: usize) -> Option<(&Name, String)> {
        const DEPTH_MAX: usize = 16;
        let (mut at, mut rest) = match path.split_first()? {
            (first, rest) if first == "crate" => (Vec::new(), rest),
            (first, rest) if first == "self" => (from.clone(), rest),
            (first, _) if first == "super" => {
                let up = path.iter().take_while(|step| *step == "super").count();
                (from.get(..from.len().checked_sub(up)?)?.to_vec(), path.get(up..)?)
            }
            // Alone, such a name is that of a variable.
            (first, rest) if !rest.is_empty() && self.0.get(from)?.children.contains(first) => {
                (from.clone(), path)
            }
            (first, _) if depth == 0 => {
                // A name that the module has of another: it is taken from there.
                let path = self.0.get(from)?.named.get(first)?;
                return self.resolve(from, path, 1);
            }
            _ => return None,
        };
        while let Some((step, after)) = rest.split_first() {
            let module = self.0.get(&at)?;
            if module.children.contains(step) {
                at.push(step.clone());
                rest = after;
                continue;
            }
            let again = |path: &[String]| (depth < DEPTH_MAX).then(|| self.resolve(&at, path, depth + 1))?;
            if let Some(path) = module.named.get(step) {
                let whole: Vec<String> = path.iter().chain(after).cloned().collect();
                return again(&whole).or_else(|| again(path));
            }
            let found = module.named_whole.iter().find_map(|whole| {
                let (there, _) = again(whole)?;
                self.0.get(there)?.defined.contains(step).then_some(there)
            });
            if let Some(there) = found {
                return Some((there, step.clone()));
            }
            // What a macro makes is defined in no file.
            let defines = module.defined.contains(step);
            return self.0.get_key_value(&at).filter(|_| defines).map(|(at, _)| (at, step.clone()));
        }
        self.0.get_key_value(&at).map(|(at, _)| (at, shown(at)))
    }
}

/// Who takes what from whom.
type Step<'a> = (&'a Name, &'a str, &'a Name);
/// The same of all modules.
type Taken<'a> = BTreeMap<&'a Name, BTreeMap<&'a Name, String>>;

/// The way from a module back to itself over the fewest others.
fn way_around<'a>(taken: &'a Taken<'a>, start: &'a Name) -> Option<Vec<Step<'a>>> {
    let mut before: BTreeMap<&Name, Step<'_>> = BTreeMap::new();
    let mut next = VecDeque::from([start]);
    while let Some(module) = next.pop_front() {
        for (from, what) in taken.get(module)? {
            if before.contains_key(*from) {
                continue;
            }
            before.insert(*from, (module, what, *from));
            if *from == start {
                let mut way = Vec::new();
                let mut at = start;
                while let Some(step) = before.get(at) {
                    way.insert(0, *step);
                    at = step.0;
                    if at == start {
                        return Some(way);
                    }
                }
            }
            next.push_back(*from);
        }
    }
    None
}

/// All that a module takes from, over any number in between.
fn reached<'a>(taken: &Taken<'a>, start: &Name) -> BTreeSet<&'a Name> {
    let mut reached = BTreeSet::new();
    let mut next = vec![start];
    while let Some(module) = next.pop() {
        for from in taken.get(module).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(*from) {
                next.push(*from);
            }
        }
    }
    reached
}

fn shown(name: &Name) -> String {
    if name.is_empty() { "the root".to_owned() } else { name.join("::") }
}

/// Reads what a module defines and takes.
struct Reading<'a> {
    module: &'a mut Module,
    /// How many modules within the file it is in.
    nested: usize,
}

impl Reading<'_> {
    /// A path as it is in the module of the file.
    fn takes(&mut self, path: Vec<String>) {
        let up = path.iter().take_while(|step| *step == "super").count();
        let path = match up {
            0 => path,
            _ if up > self.nested => path.into_iter().skip(self.nested).collect(),
            _ => return,
        };
        self.module.paths.insert(path);
    }

    fn uses(&mut self, tree: &UseTree, before: &[String], is_passed_on: bool) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        let (name, path) = match tree {
            UseTree::Path(of) => return self.uses(&of.tree, &with(&of.ident), is_passed_on),
            UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.uses(tree, before, is_passed_on));
            }
            UseTree::Glob(_) => (None, before.to_vec()),
            UseTree::Name(of) if of.ident == "self" => (before.last().cloned(), before.to_vec()),
            UseTree::Name(of) => (Some(of.ident.to_string()), with(&of.ident)),
            UseTree::Rename(of) => (Some(of.rename.to_string()), with(&of.ident)),
        };
        // Alone, only here the name of a child is one.
        let path = match path.as_slice() {
            [child] if !["crate", "self", "super"].contains(&child.as_str()) => {
                vec!["self".to_owned(), child.clone()]
            }
            _ => path,
        };
        if self.nested == 0 {
            match name {
                Some(name) => _ = self.module.named.insert(name, path.clone()),
                None => self.module.named_whole.push(path.clone()),
            }
        }
        if !is_passed_on {
            self.takes(path);
        }
    }

    /// Paths in what is handed to a macro, which may be anything. `crate` alone is none: attributes say it, too.
    fn tokens(&mut self, tokens: proc_macro2::TokenStream) {
        use proc_macro2::TokenTree;
        let (mut path, mut colons) = (Vec::new(), 0);
        for token in tokens {
            match token {
                TokenTree::Ident(name) if colons == 2 => path.push(name.to_string()),
                TokenTree::Ident(name) => {
                    self.takes_in_macro(std::mem::replace(&mut path, vec![name.to_string()]));
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                TokenTree::Group(group) => self.tokens(group.stream()),
                _ => self.takes_in_macro(std::mem::take(&mut path)),
            }
            colons = 0;
        }
        self.takes_in_macro(path);
    }

    fn takes_in_macro(&mut self, path: Vec<String>) {
        if path != ["crate"] {
            self.takes(path);
        }
    }
}

impl<'ast> Visit<'ast> for Reading<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_for_tests(attributes(item)) {
            return;
        }
        if let Some(name) = name_of(item)
            && self.nested == 0
        {
            self.module.defined.insert(name);
        }
        match item {
            Item::Use(item) => {
                let is_passed_on = !matches!(item.vis, Visibility::Inherited);
                self.uses(&item.tree, &[], is_passed_on);
            }
            Item::Mod(_) => {
                self.nested += 1;
                visit::visit_item(self, item);
                self.nested -= 1;
            }
            _ => visit::visit_item(self, item),
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.takes(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    /// Who may see something is not taken from there.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_macro(&mut self, of: &'ast syn::Macro) {
        visit::visit_path(self, &of.path);
        // What is quoted is code of some other crate.
        if !of.path.is_ident("quote") {
            self.tokens(of.tokens.clone());
        }
    }
}

fn child_in_a_file(item: &Item) -> Option<String> {
    match item {
        Item::Mod(child) if child.content.is_none() && !is_for_tests(&child.attrs) => {
            Some(child.ident.to_string())
        }
        _ => None,
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The name under which others find what an item defines.
fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Mod(item) => &item.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(files: &[(&str, &str)]) -> Vec<String> {
        let files = files.iter().map(|(file, text)| (PathBuf::from(file), (*text).to_owned())).collect();
        Modules::read(&files, Path::new("lib.rs")).unwrap().circles()
    }

    #[test]
    fn one_direction_is_no_circle() {
        let files = [("lib.rs", "mod a; mod b;"), ("a.rs", "use crate::b::B;"), ("b.rs", "pub struct B;")];
        assert_eq!(circles(&files), Vec::<String>::new());
    }

    #[test]
    fn what_is_quoted_takes_nothing() {
        let taking = |how: &str| {
            let a = format!("pub struct A; fn f() {{ {how} {{ super::B }} }}");
            circles(&[("lib.rs", "mod a; pub struct B; fn f() { a::A; }"), ("a.rs", &a)])
        };
        assert_eq!(taking("quote!"), Vec::<String>::new());
        assert_eq!(taking("other!").len(), 1);
    }

    #[test]
    fn an_attribute_in_a_macro_that_says_crate_takes_nothing() {
        let files = [
            ("lib.rs", "mod a; fn f() { a::A; }"),
            ("a.rs", "pub struct A; fn f() { made! { #[serde(crate = \"serde\")] struct B; } }"),
        ];
        assert_eq!(circles(&files), Vec::<String>::new());
    }

    #[test]
    fn a_circle_is_told_with_what_ties_it() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "use crate::b::{self, B}; pub(in crate::d) struct A;"),
            ("b.rs", "pub fn f() -> crate::c::C { todo!() } pub struct B;"),
            ("c/mod.rs", "pub struct C; fn f() { println!(\"{}\", super::a::A) }"),
            ("d.rs", "use crate::a::A;"),
        ];
        let told = "a circle of 3 modules (a, b, c): a takes b from b, b takes C from c, c takes A from a";
        assert_eq!(circles(&files), [told]);
    }

    #[test]
    fn who_passes_on_what_its_children_define_is_in_no_circle_with_them() {
        let passes_on = [
            ("lib.rs", "mod a; mod b; pub use a::A; pub use b::*;"),
            ("a.rs", "pub struct A; use crate::B;"),
            ("b.rs", "pub struct B;"),
        ];
        assert_eq!(circles(&passes_on), Vec::<String>::new());
        let among_children = [passes_on[0], passes_on[1], ("b.rs", "pub struct B(super::A);")];
        let told = "a circle of 2 modules (a, b): a takes B from b, b takes A from a";
        assert_eq!(circles(&among_children), [told]);
    }

    #[test]
    fn a_child_that_uses_what_its_parent_defines_is_in_a_circle_if_the_parent_uses_it() {
        let defines = [("lib.rs", "mod a; pub struct Root;"), ("a.rs", "pub struct A(super::Root);")];
        assert_eq!(circles(&defines), Vec::<String>::new());
        let told = "a circle of 2 modules (the root, a): the root takes A from a, a takes Root from the root";
        for uses in ["pub use a::A; pub struct Root; fn f(a: A) {}", "pub struct Root; fn f() { a::A; }"] {
            assert_eq!(circles(&[("lib.rs", &format!("mod a; {uses}")), defines[1]]), [told], "{uses}");
        }
    }

    #[test]
    fn names_that_a_parent_has_of_others_are_taken_from_those() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "mod c; use crate::b::B; use std::fmt; fn f() { c::C; }"),
            ("a/c.rs", "use super::{B, fmt}; pub struct C;"),
            ("b.rs", "pub struct B;"),
        ];
        assert_eq!(circles(&files), Vec::<String>::new());
    }

    #[test]
    fn tests_and_modules_within_a_file_take_what_they_like() {
        let files = [
            ("lib.rs", "mod a; mod b; fn f(a: usize) { g(a) }"),
            ("a.rs", "use crate::b::B; pub struct A; mod inner { use super::A; } #[cfg(test)] mod tests;"),
            ("a/tests.rs", "use super::*;"),
            ("b.rs", "pub struct B; #[cfg(test)] mod tests { use crate::a::A; }"),
        ];
        assert_eq!(circles(&files), Vec::<String>::new());
    }
}
