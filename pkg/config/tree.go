package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

type kind int

const (
	null kind = iota
	scalar
	mapping
	list
)

var kindNames = map[kind]string{null: "nothing", scalar: "a single value", mapping: "a mapping", list: "a list"}

// node is a value of the file with aliases and merges resolved. We decode from it ourselves because the YAML
// library's decoder quotes the source, secrets included, in its errors.
type node struct {
	kind    kind
	line    int
	text    string  // of a scalar, before variables are replaced
	entries []entry // of a mapping, in the order of the file
	items   []*node // of a list
}

type entry struct {
	key   string
	line  int
	value *node
}

// get finds a key of a mapping; nil if it is not there or n is no mapping.
func (n *node) get(key string) *entry {
	for i := range n.entries {
		if n.entries[i].key == key {
			return &n.entries[i]
		}
	}
	return nil
}

// parseTree parses one document whose top is a mapping.
func parseTree(name string, data []byte) (*node, error) {
	fail := func(line int, format string, args ...any) error {
		return &Error{File: name, Line: line, Err: fmt.Errorf(format, args...)}
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // some editors begin a file with a byte order mark
	if at := invalidUTF8(data); at >= 0 {
		return nil, fail(1+bytes.Count(data[:at], []byte("\n")), "the file is not UTF-8 text; save it as UTF-8")
	}
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey()) // duplicates are found, and told better, below
	if err != nil {
		line, message := syntaxError(err, data)
		return nil, fail(line, "not valid YAML: %s", message)
	}
	b := builder{fail: fail, anchors: map[string]*node{}}
	root := &node{kind: mapping, line: 1}
	seen := false
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		line := doc.Body.GetToken().Position.Line
		if _, ok := doc.Body.(*ast.DirectiveNode); ok {
			return nil, fail(line, "YAML directives are not supported; leave out the line that begins with %%")
		}
		if seen {
			return nil, fail(line, "a second YAML document begins here; put everything into one")
		}
		seen = true
		n := b.build(doc.Body, line)
		switch n.kind {
		case mapping:
			root = n
		case null: // only comments
		default:
			b.errs = append(b.errs, fail(line, "the file holds %s; want a mapping of sections: %s", kindNames[n.kind], strings.Join(sections, ", ")))
		}
	}
	return root, errors.Join(b.errs...)
}

// syntaxError says where and what; the library's own Error() would quote the source.
func syntaxError(err error, data []byte) (line int, message string) {
	e, ok := errors.AsType[yaml.Error](err)
	if !ok || e.GetToken() == nil {
		return 0, "the parser gives no reason"
	}
	line, message = e.GetToken().Position.Line, e.GetMessage()
	if strings.Contains(message, "\t") {
		return line, "a tab where spaces are wanted; indent with spaces"
	}
	if lines := bytes.Split(data, []byte("\n")); line <= len(lines) && bytes.Contains(lines[line-1], []byte("${")) {
		message += `; inside { } and [ ] a variable wants quotes: "${NAME}"`
	}
	return line, message
}

type builder struct {
	fail    func(line int, format string, args ...any) error
	anchors map[string]*node
	errs    []error
}

func (b *builder) errorf(line int, format string, args ...any) *node {
	b.errs = append(b.errs, b.fail(line, format, args...))
	return &node{kind: null, line: line}
}

// build turns a node of the library into ours. The line is that of the key before it, for nodes without a place.
func (b *builder) build(from ast.Node, line int) *node {
	switch n := from.(type) {
	case nil, *ast.NullNode:
		return &node{kind: null, line: line}
	case *ast.MappingNode:
		return b.mapping(n.Values, line)
	case *ast.MappingValueNode: // a mapping of one entry
		return b.mapping([]*ast.MappingValueNode{n}, line)
	case *ast.SequenceNode:
		out := &node{kind: list, line: line}
		for _, v := range n.Values {
			out.items = append(out.items, b.build(v, lineOf(v, line)))
		}
		return out
	case *ast.AnchorNode:
		out := b.build(n.Value, line)
		b.anchors[n.Name.GetToken().Value] = out // after its content: an anchor is not known inside itself
		return out
	case *ast.AliasNode:
		name := n.Value.GetToken().Value
		if out, ok := b.anchors[name]; ok {
			return out
		}
		return b.errorf(lineOf(n, line), "alias *%s has no anchor &%s before it", name, name)
	case *ast.TagNode:
		return b.errorf(lineOf(n, line), "YAML tags such as %s are not supported; quote the value if it is text", n.Start.Value)
	case *ast.LiteralNode:
		return &node{kind: scalar, line: line, text: n.Value.Value}
	case ast.ScalarNode: // numbers and booleans too: what they are is for the field to say that they are decoded into
		return &node{kind: scalar, line: lineOf(n, line), text: n.GetToken().Value}
	default:
		return b.errorf(lineOf(n, line), "this kind of YAML (%s) is not supported", n.Type())
	}
}

func (b *builder) mapping(values []*ast.MappingValueNode, line int) *node {
	out := &node{kind: mapping, line: line}
	var merged []entry
	for _, v := range values {
		key, keyLine := v.Key.GetToken().Value, lineOf(v.Key, line)
		value := b.build(v.Value, keyLine)
		switch {
		case v.Key.IsMergeKey():
			merged = append(merged, b.merge(value, keyLine)...)
		case !isPlainKey(v.Key):
			b.errorf(keyLine, "a key must be text")
		default:
			if first := out.get(key); first != nil {
				b.errorf(keyLine, "key %s is given twice, first on line %d", quoteKey(key), first.line)
				continue
			}
			out.entries = append(out.entries, entry{key: key, line: keyLine, value: value})
		}
	}
	for _, e := range merged { // what stands in the mapping itself wins, then what was merged first
		if out.get(e.key) == nil {
			out.entries = append(out.entries, e)
		}
	}
	return out
}

// merge are the entries that `<<: value` adds.
func (b *builder) merge(value *node, line int) []entry {
	switch value.kind {
	case mapping:
		return value.entries
	case list:
		var all []entry
		for _, item := range value.items {
			all = append(all, b.merge(item, line)...)
		}
		return all
	default:
		b.errorf(line, "<< wants a mapping to merge")
		return nil
	}
}

func isPlainKey(k ast.MapKeyNode) bool {
	switch k.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return true
	default:
		return false
	}
}

func lineOf(n ast.Node, fallback int) int {
	if tk := n.GetToken(); tk != nil && tk.Position != nil {
		return tk.Position.Line
	}
	return fallback
}

func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size <= 1 {
			return i
		}
		i += size
	}
	return -1
}
