package payload

import (
	"encoding/json"
	"strconv"
	"strings"
)

// Rest is what nobody took, nested as sent. In an array of which something is left, what was taken leaves {} or null,
// so that the others keep their places.
func (o *Object) Rest() map[string]json.RawMessage {
	var out map[string]json.RawMessage
	for i := range o.members {
		if left := o.members[i].left(); left != "" {
			if out == nil {
				out = make(map[string]json.RawMessage)
			}
			out[o.members[i].name] = json.RawMessage(left)
		}
	}
	return out
}

// left is what remains of the member as JSON, or "".
func (m *member) left() string {
	switch {
	case m.taken:
		return ""
	case m.parts == nil && !m.array:
		return m.raw
	case !m.array:
		return m.parts[0].object.left()
	}
	some, items := false, make([]string, len(m.parts))
	for i, p := range m.parts {
		switch {
		case p.taken:
			items[i] = "null"
		case p.object == nil:
			items[i], some = p.raw, true
		default:
			left := p.object.left()
			if items[i] = left; left == "" {
				items[i] = "{}"
			}
			some = some || left != ""
		}
	}
	if !some {
		return ""
	}
	return "[" + strings.Join(items, ",") + "]"
}

func (o *Object) left() string {
	var b strings.Builder
	for i := range o.members {
		if left := o.members[i].left(); left != "" {
			if b.Len() == 0 {
				b.WriteByte('{')
			} else {
				b.WriteByte(',')
			}
			b.WriteString(o.members[i].key)
			b.WriteByte(':')
			b.WriteString(left)
		}
	}
	if b.Len() == 0 {
		return ""
	}
	b.WriteByte('}')
	return b.String()
}

// path is where the named member stands: $.a.b[0].c. It is built only when something is wrong.
func (o *Object) path(name string) string {
	prefix := "$"
	if o.parent != nil {
		prefix = o.parent.path(o.name)
		if o.index >= 0 {
			prefix += "[" + strconv.Itoa(o.index) + "]"
		}
	}
	return prefix + segment(name)
}

func segment(name string) string {
	if plain(name) {
		return "." + name
	}
	const longest = 64 // characters of a name that is not ours
	if r := []rune(name); len(r) > longest {
		name = string(r[:longest]) + "…"
	}
	return "[" + strconv.Quote(name) + "]"
}

func plain(name string) bool {
	if name == "" || len(name) > 64 {
		return false
	}
	for _, r := range name {
		if r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
			return false
		}
	}
	return true
}
