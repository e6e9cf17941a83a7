package payload

import (
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Object is a JSON object whose members are taken one by one; see Rest for those left. A nil Object has no members.
//
// A method that takes a member accepts null as absent. Where it cannot use the member's type it leaves the member in
// its place, warns, and answers as if it were absent.
type Object struct {
	doc     *document
	parent  *Object
	name    string // its place in parent
	index   int    // its place in the array there, or -1
	members []member
	byName  map[string]int // only beyond fewMembers
}

type member struct {
	key, raw string // as sent
	name     string
	taken    bool
	array    bool
	parts    []part // of an object or array being taken apart
}

// part is the object itself, or one element of the array.
type part struct {
	raw    string
	taken  bool
	object *Object
}

// fewMembers is where a map begins to beat a linear search.
const fewMembers = 32

// scratch is where an object is split: how many members it has is known only then.
var scratch = sync.Pool{New: func() any { return new([]member) }}

func (o *Object) split(raw string) {
	buf := scratch.Get().(*[]member)
	o.members = (*buf)[:0]
	eachMember(raw, func(key, value string) {
		name := unquote(key)
		if m := o.find(name); m != nil {
			o.Warn(name, "sent more than once, the last counts")
			m.raw = value
			return
		}
		o.members = append(o.members, member{key: key, raw: value, name: name})
		switch n := len(o.members); {
		case o.byName != nil:
			o.byName[name] = n - 1
		case n > fewMembers:
			o.byName = make(map[string]int, 2*fewMembers)
			for i, m := range o.members {
				o.byName[m.name] = i
			}
		}
	})
	*buf, o.members = o.members, slices.Clone(o.members)
	clear(*buf) // it must not keep a body alive
	scratch.Put(buf)
}

func (o *Object) find(name string) *member {
	if o == nil {
		return nil
	}
	if o.byName != nil {
		if i, ok := o.byName[name]; ok {
			return &o.members[i]
		}
		return nil
	}
	for i := range o.members {
		if o.members[i].name == name {
			return &o.members[i]
		}
	}
	return nil
}

// open is the named member when it holds something and is not taken yet. A null is taken here.
func (o *Object) open(name string) *member {
	m := o.find(name)
	if m == nil || m.taken {
		return nil
	}
	if kindOf(m.raw) == kindNull {
		m.taken = true
		return nil
	}
	return m
}

// Has reports whether the member was sent, even as null.
func (o *Object) Has(name string) bool { return o.find(name) != nil }

// Null reports whether the member was sent as null.
func (o *Object) Null(name string) bool {
	m := o.find(name)
	return m != nil && kindOf(m.raw) == kindNull
}

// Holds reports whether there is something to take: null and the empty string are nothing.
func (o *Object) Holds(name string) bool {
	m := o.open(name)
	if m != nil && m.raw == `""` {
		m.taken = true
		return false
	}
	return m != nil
}

// TakeSame takes the member when it was sent exactly as other's is.
func (o *Object) TakeSame(name string, other *Object, otherName string) {
	if m, n := o.open(name), other.find(otherName); m != nil && n != nil && m.raw == n.raw {
		m.taken = true
	}
}

// PutBack undoes the taking of a member.
func (o *Object) PutBack(name string) {
	if m := o.find(name); m != nil {
		m.taken = false
	}
}

// Names are the members not taken yet, in the order sent.
func (o *Object) Names() iter.Seq[string] {
	return func(yield func(string) bool) {
		if o == nil {
			return
		}
		for i := range o.members {
			if !o.members[i].taken && !yield(o.members[i].name) {
				return
			}
		}
	}
}

// Text takes a string, or the literal text of a number.
func (o *Object) Text(name string) string {
	s, _ := o.text(name, false)
	return s
}

// Scalar takes a string, a number or a boolean as text; null is sent without text.
func (o *Object) Scalar(name string) (text string, sent bool) {
	if !o.Has(name) {
		return "", false
	}
	if o.open(name) == nil {
		return "", true
	}
	return o.text(name, true)
}

func (o *Object) text(name string, boolToo bool) (string, bool) {
	m := o.open(name)
	if m == nil {
		return "", false
	}
	switch k := kindOf(m.raw); {
	case k == kindString:
		m.taken = true
		return unquote(m.raw), true
	case k == kindNumber, k == kindBool && boolToo:
		m.taken = true
		return m.raw, true
	default:
		o.Warn(name, "%s, want a string", k)
		return "", false
	}
}

// ID takes the call id, which alone must be there: any string that is not empty, or a number's literal text.
func (o *Object) ID(name string) (string, error) {
	m := o.open(name)
	if m == nil {
		return "", o.Never("missing", name)
	}
	if k := kindOf(m.raw); k != kindString && k != kindNumber {
		return "", o.Never(k.String()+", want a string", name)
	}
	id := o.Text(name)
	if id == "" {
		return "", o.Never("empty", name)
	}
	return id, nil
}

// Raw takes the member as it stands.
func (o *Object) Raw(name string) json.RawMessage {
	m := o.find(name)
	if m == nil || m.taken {
		return nil
	}
	m.taken = true
	return json.RawMessage(m.raw)
}

// Value takes the member as it stands, and a string that contains a JSON object or array as that.
func (o *Object) Value(name string) json.RawMessage {
	m := o.open(name)
	if m == nil {
		return nil
	}
	m.taken = true
	if kindOf(m.raw) == kindString {
		if inner := strings.Trim(unquote(m.raw), space); inner != "" && (inner[0] == '{' || inner[0] == '[') {
			b, _ := repairSurrogates([]byte(inner))
			if json.Valid(b) && depth(inner) <= maxDepth {
				return b
			}
		}
	}
	return json.RawMessage(m.raw)
}

// Map takes an object whole.
func (o *Object) Map(name string) map[string]json.RawMessage {
	m := o.open(name)
	if m == nil {
		return nil
	}
	if k := kindOf(m.raw); k != kindObject {
		o.Warn(name, "%s, want an object", k)
		return nil
	}
	m.taken = true
	return maps.Collect(Members(json.RawMessage(m.raw)))
}

// Members are those of a valid JSON value taken from an Object, in the order sent; none when it is no object.
func Members(raw json.RawMessage) iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		if len(raw) == 0 || kindOf(string(raw[:1])) != kindObject {
			return
		}
		more := true
		eachMember(string(raw), func(key, value string) {
			more = more && yield(unquote(key), json.RawMessage(value))
		})
	}
}

// Object opens an object; what is not taken from it is left in o.
func (o *Object) Object(name string) *Object {
	m := o.open(name)
	if m == nil {
		return nil
	}
	if k := kindOf(m.raw); k != kindObject {
		o.Warn(name, "%s, want an object", k)
		return nil
	}
	if m.parts == nil {
		child := &Object{doc: o.doc, parent: o, name: name, index: -1}
		m.parts = []part{{raw: m.raw, object: child}}
		child.split(m.raw)
	}
	return m.parts[0].object
}

// Objects opens the objects in an array; its other elements are left.
func (o *Object) Objects(name string) []*Object {
	m := o.array(name)
	if m == nil {
		return nil
	}
	out := make([]*Object, 0, len(m.parts))
	for i := range m.parts {
		p := &m.parts[i]
		switch k := kindOf(p.raw); k {
		case kindObject:
			p.object = &Object{doc: o.doc, parent: o, name: name, index: i}
			p.object.split(p.raw)
			out = append(out, p.object)
		case kindNull:
			p.taken = true
		default:
			o.warnAt(name, i, k.String()+", want an object")
		}
	}
	return out
}

// Strings takes the strings and numbers in an array; its other elements are left.
func (o *Object) Strings(name string) []string {
	m := o.array(name)
	if m == nil {
		return nil
	}
	var out []string
	for i := range m.parts {
		p := &m.parts[i]
		switch k := kindOf(p.raw); k {
		case kindString:
			out, p.taken = append(out, unquote(p.raw)), true
		case kindNumber:
			out, p.taken = append(out, p.raw), true
		case kindNull:
			p.taken = true
		default:
			o.warnAt(name, i, k.String()+", want a string")
		}
	}
	return out
}

func (o *Object) array(name string) *member {
	m := o.open(name)
	if m == nil {
		return nil
	}
	if k := kindOf(m.raw); k != kindArray {
		o.Warn(name, "%s, want an array", k)
		return nil
	}
	raws := elements(m.raw)
	m.array, m.parts = true, make([]part, len(raws))
	for i, raw := range raws {
		m.parts[i].raw = raw
	}
	return m
}

func (o *Object) warnAt(name string, i int, text string) {
	o.doc.warn(o.path(name) + "[" + strconv.Itoa(i) + "]: " + text)
}
