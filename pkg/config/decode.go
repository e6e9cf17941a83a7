package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// decoder puts nodes into Go values and collects what is wrong on the way.
type decoder struct {
	file string
	errs []error
}

// decode fills into, a pointer.
func (d *decoder) decode(path string, n *node, into any) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("config: section %s is decoded into %T, want a pointer", path, into)
	}
	d.value(path, n, v.Elem())
	return errors.Join(d.errs...)
}

func (d *decoder) fail(n *node, path, format string, args ...any) {
	d.errs = append(d.errs, &Error{File: d.file, Line: n.line, Err: fmt.Errorf("%s: %w", path, fmt.Errorf(format, args...))})
}

func (d *decoder) value(path string, n *node, v reflect.Value) {
	if n.kind == null {
		return
	}
	switch {
	case v.Kind() == reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(path, n, v.Elem())
	case v.Type() == reflect.TypeFor[Secrets]():
		d.secrets(path, n, v)
	case isText(v):
		d.scalar(path, n, v)
	case v.Kind() == reflect.Struct:
		d.structure(path, n, v)
	case v.Kind() == reflect.Map && v.Type().Key().Kind() == reflect.String:
		d.mapping(path, n, v)
	case v.Kind() == reflect.Slice:
		d.list(path, n, v)
	default:
		d.scalar(path, n, v)
	}
}

func (d *decoder) structure(path string, n *node, v reflect.Value) {
	if !d.want(path, n, mapping) {
		return
	}
	keys := map[string][]reflect.Value{}
	collectKeys(v, keys)
	if k, ok := v.Addr().Interface().(Kinded); ok && !d.kinded(path, n, k, keys) {
		return
	}
	for _, e := range n.entries {
		fields, ok := keys[e.key]
		if !ok {
			d.errs = append(d.errs, &Error{File: d.file, Line: e.line, Err: unknown("key", e.key, path, sortedKeys(keys))})
			continue
		}
		for _, field := range fields {
			before := len(d.errs)
			if d.value(path+"."+e.key, e.value, field); len(d.errs) > before {
				break
			}
		}
	}
}

// Kinded is implemented, by pointer, by a struct whose keys depend on the value of its key kind. OfKind is called first,
// with an empty kind where none is given: it may set defaults, and returns a pointer to the struct with the further keys. A
// key of both structs is decoded into both.
type Kinded interface {
	OfKind(kind string) (further any, err error)
}

// kinded adds the keys of the kind that n names.
func (d *decoder) kinded(path string, n *node, k Kinded, keys map[string][]reflect.Value) bool {
	var kind string
	at := n
	if e := n.get("kind"); e != nil {
		at, path = e.value, path+".kind"
		before := len(d.errs)
		if d.value(path, e.value, reflect.ValueOf(&kind).Elem()); len(d.errs) > before {
			return false
		}
	}
	further, err := k.OfKind(kind)
	if err != nil {
		d.fail(at, path, "%w", err)
		return false
	}
	collectKeys(reflect.ValueOf(further).Elem(), keys)
	return true
}

// collectKeys maps the keys of a struct to its fields.
func collectKeys(v reflect.Value, keys map[string][]reflect.Value) {
	for field, fv := range v.Fields() {
		tag, ok := field.Tag.Lookup("yaml")
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case !ok || name == "-":
		case options == "inline" && field.Anonymous && fv.Kind() == reflect.Struct:
			collectKeys(fv, keys)
		case name != "" && field.IsExported():
			keys[name] = append(keys[name], fv)
		}
	}
}

func (d *decoder) mapping(path string, n *node, v reflect.Value) {
	if !d.want(path, n, mapping) {
		return
	}
	out := reflect.MakeMapWithSize(v.Type(), len(n.entries))
	for _, e := range n.entries {
		value := reflect.New(v.Type().Elem()).Elem()
		if value.Kind() == reflect.Pointer { // a key without a value still has one: `leads:` alone is an empty leads
			value.Set(reflect.New(value.Type().Elem()))
		}
		d.value(path+"."+printableKey(e.key), e.value, value)
		out.SetMapIndex(reflect.ValueOf(e.key).Convert(v.Type().Key()), value)
	}
	v.Set(out)
}

func (d *decoder) list(path string, n *node, v reflect.Value) {
	if !d.want(path, n, list) {
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	for i, item := range n.items {
		at := fmt.Sprintf("%s[%d]", path, i)
		if item.kind == null {
			d.fail(item, at, "this item of the list is empty")
			continue
		}
		d.value(at, item, out.Index(i))
	}
	v.Set(out)
}

// secrets takes one secret or a list of them.
func (d *decoder) secrets(path string, n *node, v reflect.Value) {
	if n.kind == list {
		d.list(path, n, v)
		return
	}
	one := reflect.New(reflect.TypeFor[Secret]()).Elem()
	d.scalar(path, n, one)
	v.Set(reflect.ValueOf(Secrets{Secret(one.String())}))
}

func (d *decoder) want(path string, n *node, k kind) bool {
	if n.kind != k {
		d.fail(n, path, "want %s, got %s", kindNames[k], kindNames[n.kind])
	}
	return n.kind == k
}

func (d *decoder) scalar(path string, n *node, v reflect.Value) {
	if n.kind != scalar {
		d.fail(n, path, "want %s, got %s", wanted(v), kindNames[n.kind])
		return
	}
	text, from, err := expand(n.text)
	if err != nil {
		d.fail(n, path, "%w", err)
		return
	}
	origin := ""
	if len(from) > 0 {
		origin = " (the value comes from ${" + strings.Join(from, "}, ${") + "})"
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok && v.Type() != reflect.TypeFor[Size]() {
		// The error is the type's own and may quote the value: good when it is written in the file, a leak when not.
		if err := u.UnmarshalText([]byte(text)); err != nil && origin != "" {
			d.fail(n, path, "not a valid value%s", origin)
		} else if err != nil {
			d.fail(n, path, "%w", err)
		}
		return
	}
	if !setScalar(v, text) {
		d.fail(n, path, "want %s%s", wanted(v), origin)
	}
}

// setScalar says whether text is a v.
func setScalar(v reflect.Value, text string) bool {
	switch v.Interface().(type) {
	case time.Duration:
		d, err := ParseDuration(text)
		v.SetInt(int64(d))
		return err == nil
	case Size:
		s, err := ParseSize(text)
		v.SetInt(int64(s))
		return err == nil
	case Secret:
		v.SetString(text)
		return text != ""
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
		return true
	case reflect.Bool:
		b := slices.Contains([]string{"true", "True", "TRUE"}, text) // the spellings of YAML 1.2, yes and on not among them
		v.SetBool(b)
		return b || slices.Contains([]string{"false", "False", "FALSE"}, text)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(text, 10, v.Type().Bits())
		v.SetInt(i)
		return err == nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		u, err := strconv.ParseUint(text, 10, v.Type().Bits())
		v.SetUint(u)
		return err == nil
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(text, v.Type().Bits())
		v.SetFloat(f)
		return err == nil && !math.IsInf(f, 0) && !math.IsNaN(f)
	default:
		return false
	}
}

// wanted says what a scalar field takes.
func wanted(v reflect.Value) string {
	switch v.Interface().(type) {
	case time.Duration:
		return "a duration such as 8s, 1m30s or 14d"
	case Size:
		return "a size such as 8MiB, 512KiB, 1GB or a number of bytes"
	case Secret:
		return "a secret that is not empty"
	}
	switch v.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return fmt.Sprintf("a whole number (%d bits)", v.Type().Bits())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("a whole number from 0 (%d bits)", v.Type().Bits())
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.String:
		return "text"
	default:
		if isText(v) {
			return "a single value"
		}
		return fmt.Sprintf("nothing: %s is a type that config cannot decode", v.Type()) // a mistake of ours, not of the file
	}
}

func isText(v reflect.Value) bool {
	return v.Kind() != reflect.Pointer && v.CanAddr() && reflect.PointerTo(v.Type()).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}
