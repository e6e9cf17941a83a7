// Package config reads onhook.yaml: strictly, with values from the environment, and without ever printing a secret.
//
// It knows the names of the sections and nothing of what is in them: each package owns the struct, the defaults and
// the checks of its section, and decodes it with File.Section.
//
// Struct fields are keys when they have a yaml tag, and only then: `yaml:"max_body"`. An embedded struct tagged
// `yaml:",inline"` shares the keys of its parent.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// sections are the top-level keys of the file. A process reads only those that it needs, but no other may be there.
var sections = []string{"admin", "crm", "decoder", "ingress", "log", "nats", "ops", "sources", "storage"}

// File is a parsed configuration file. Its values are decoded, and its variables looked up, when a section is read:
// a process needs no variable of a section that it does not read.
type File struct {
	name string
	root *node // a mapping of sections
}

// Error is a fault in the configuration, and where it is. No error of this package holds a value from the file or
// from the environment, as any value may be a secret in the wrong place; what a Validate says is its own affair.
type Error struct {
	File string // as given to Load or Parse; empty without a file
	Line int    // from 1; 0 when the fault has no line
	Err  error
}

// Error prints file:line: what is wrong.
func (e *Error) Error() string {
	switch {
	case e.File == "":
		return e.Err.Error()
	case e.Line == 0:
		return e.File + ": " + e.Err.Error()
	default:
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Err)
	}
}

// Unwrap returns what is wrong, without the place.
func (e *Error) Unwrap() error { return e.Err }

// Empty is the configuration of a process that runs without a file.
func Empty() *File { return &File{root: &node{kind: mapping}} }

// Load reads and parses a file.
func Load(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &Error{File: path, Err: fmt.Errorf("cannot read the configuration: %w", withoutPath(err))}
	}
	return Parse(path, data)
}

// Parse parses a file's content; name stands in errors. A file that is empty, or holds only comments, is Empty.
func Parse(name string, data []byte) (*File, error) {
	root, err := parseTree(name, data)
	if err != nil {
		return nil, err
	}
	f := &File{name: name, root: root}
	var errs []error
	for _, e := range root.entries {
		if !slices.Contains(sections, e.key) {
			errs = append(errs, &Error{File: name, Line: e.line, Err: unknown("section", e.key, "", sections)})
		}
	}
	return f, errors.Join(errs...)
}

// Section decodes a section over what into, a pointer, already holds: its defaults. Structs are decoded key by key;
// a list or a mapping in the file takes the place of the default one. A section or key that is absent or null leaves
// its default as it is. Then, if into has a method Validate() error, Section calls it, whether or not the section is
// there, and says where its error comes from; see At. After an error, into is in no defined state.
//
// The errors are of type *Error, joined.
func (f *File) Section(name string, into any) error {
	if !slices.Contains(sections, name) {
		return fmt.Errorf("config: %q is not in the table of sections", name)
	}
	section := f.root.get(name)
	if section != nil {
		d := decoder{file: f.name}
		if err := d.decode(name, section.value, into); err != nil {
			return err
		}
	}
	v, ok := into.(interface{ Validate() error })
	if !ok {
		return nil
	}
	if err := v.Validate(); err != nil {
		return errors.Join(f.place(err, []string{name})...)
	}
	return nil
}

// Names are the keys of a section, in alphabetical order. Nothing is decoded: of a section that holds secrets, a process
// without them can still know what is configured.
func (f *File) Names(section string) []string {
	e := f.root.get(section)
	if e == nil {
		return nil
	}
	var names []string
	for _, entry := range e.value.entries {
		names = append(names, entry.key)
	}
	slices.Sort(names)
	return names
}

// Keep is f with one key of a section alone: what the others hold is not read, nor are their variables looked up.
func (f *File) Keep(section, key string) (*File, error) {
	s := f.root.get(section)
	if s == nil || s.value.get(key) == nil {
		return nil, &Error{File: f.name, Err: unknown("key", key, section, f.Names(section))}
	}
	kept := *s
	kept.value = &node{kind: mapping, line: s.value.line, entries: []entry{*s.value.get(key)}}
	root := *f.root
	root.entries = slices.Clone(root.entries)
	root.entries[slices.IndexFunc(root.entries, func(e entry) bool { return e.key == section })] = kept
	return &File{name: f.name, root: &root}, nil
}

// Value decodes one value, by its section and the keys below it, over what into, a pointer, already holds. Nothing else is
// decoded: of a section that holds secrets, a process without them can still read what is none. One that is absent or null
// leaves into as it is.
func (f *File) Value(into any, keys ...string) error {
	n := f.root
	for _, key := range keys {
		e := n.get(key)
		if e == nil {
			return nil
		}
		n = e.value
	}
	d := decoder{file: f.name}
	return d.decode(strings.Join(keys, "."), n, into)
}

// At says which key of a section an error of its Validate is about, so that it is reported with the key's path and
// line: At(err, "collections-mx", "scheme"). It nests, and it looks into what errors.Join made. At(nil) is nil.
func At(err error, keys ...string) error {
	if err == nil {
		return nil
	}
	return &keyError{keys: keys, err: err}
}

type keyError struct {
	keys []string
	err  error
}

func (e *keyError) Error() string { return strings.Join(e.keys, ".") + ": " + e.err.Error() }
func (e *keyError) Unwrap() error { return e.err }

// place turns what a Validate returned into errors with a path and a line.
func (f *File) place(err error, keys []string) []error {
	// The types are asked of err itself, not of its chain: below a wrapping the wrapping's words would be lost.
	switch e := err.(type) { //nolint:errorlint // see above
	case *keyError:
		return f.place(e.err, slices.Concat(keys, e.keys))
	case interface{ Unwrap() []error }:
		var errs []error
		for _, err := range e.Unwrap() {
			errs = append(errs, f.place(err, keys)...)
		}
		return errs
	default:
		return []error{&Error{File: f.name, Line: f.line(keys), Err: fmt.Errorf("%s: %w", strings.Join(keys, "."), err)}}
	}
}

// line is that of the deepest of the keys that the file has.
func (f *File) line(keys []string) int {
	line, n := 0, f.root
	for _, key := range keys {
		e := n.get(key)
		if e == nil {
			break
		}
		line, n = e.line, e.value
	}
	return line
}

// withoutPath drops "open <path>" from an error whose message names the file already.
func withoutPath(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}
