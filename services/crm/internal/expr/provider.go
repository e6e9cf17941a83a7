package expr

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/onhook/onhook/pkg/call"
)

// root is the name of the type of the variable call. That of a part has the part's Go name after it.
const root = "call"

// provider tells CEL the fields of call.Call and its parts, by their JSON names, and reads them from the Go structs: what
// an expression does not touch is not converted. A field that a call does not have is empty, as in protocol buffers: "" or
// 0 or a part without fields; has() tells.
type provider struct {
	*types.Registry
	structs map[string]*structure
	names   map[reflect.Type]string
}

type structure struct {
	fields map[string]*types.FieldType
	order  []string
}

func newProvider() (*provider, error) {
	reg, err := types.NewRegistry()
	if err != nil {
		return nil, err
	}
	p := &provider{Registry: reg, structs: map[string]*structure{}, names: map[reflect.Type]string{}}
	p.declare(root, reflect.TypeFor[call.Call]())
	return p, nil
}

func (p *provider) declare(name string, t reflect.Type) *types.Type {
	if _, known := p.names[t]; known {
		return types.NewObjectType(p.names[t])
	}
	s := &structure{fields: map[string]*types.FieldType{}}
	p.structs[name], p.names[t] = s, name
	for field := range t.Fields() {
		key, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		s.order = append(s.order, key)
		s.fields[key] = &types.FieldType{
			Type:    p.typeOf(field.Type),
			IsSet:   func(v any) bool { f := member(v.(*part).v, field.Index); return f.IsValid() && !f.IsZero() },
			GetFrom: func(v any) (any, error) { return p.get(v.(*part), key, field), nil },
		}
	}
	return types.NewObjectType(name)
}

// typeOf is the CEL type of a Go type that occurs in a call.
func (p *provider) typeOf(t reflect.Type) *types.Type {
	switch {
	case t == reflect.TypeFor[*call.Time]():
		return types.TimestampType
	case t == reflect.TypeFor[json.RawMessage]():
		return types.DynType
	case t.Kind() == reflect.Pointer:
		return p.typeOf(t.Elem())
	}
	switch t.Kind() {
	case reflect.String:
		return types.StringType
	case reflect.Bool:
		return types.BoolType
	case reflect.Int, reflect.Int64:
		return types.IntType
	case reflect.Float64:
		return types.DoubleType
	case reflect.Slice:
		return types.NewListType(p.typeOf(t.Elem()))
	case reflect.Map:
		return types.NewMapType(types.StringType, p.typeOf(t.Elem()))
	default:
		return p.declare(root+"."+t.Name(), t)
	}
}

// get is a field of a part as CEL takes it. It is made once per evaluation: JSON is dear, and an expression may come by
// it in every turn of a loop.
func (p *provider) get(o *part, key string, field reflect.StructField) any {
	v, met := o.met[key]
	if !met {
		v = p.value(member(o.v, field.Index), field.Type)
		if o.met == nil {
			o.met = map[string]any{}
		}
		o.met[key] = v
	}
	return v
}

// member is a field of a struct behind any pointers; invalid where one of those is nil.
func member(rv reflect.Value, index []int) reflect.Value {
	for rv.Kind() == reflect.Pointer {
		rv = rv.Elem()
	}
	if !rv.IsValid() {
		return rv
	}
	return rv.FieldByIndex(index)
}

// value is a field as CEL takes it: v, or what is empty in its type where there is no v.
func (p *provider) value(v reflect.Value, t reflect.Type) any {
	for t.Kind() == reflect.Pointer {
		if v.IsValid() {
			v = v.Elem()
		}
		t = t.Elem()
	}
	if !v.IsValid() {
		v = reflect.Zero(t)
	}
	switch x := v.Interface().(type) {
	case call.Time:
		return x.Time
	case json.RawMessage:
		return decode(x)
	case map[string]json.RawMessage:
		m := make(map[string]any, len(x))
		for k, raw := range x {
			m[k] = decode(raw)
		}
		return m
	}
	switch t.Kind() {
	case reflect.String:
		return v.String() // of an enum too
	case reflect.Int:
		return v.Int()
	case reflect.Struct:
		return p.part(v)
	case reflect.Slice:
		if _, ok := p.names[t.Elem()]; !ok {
			return v.Interface()
		}
		parts := make([]*part, v.Len())
		for i := range parts {
			parts[i] = p.part(v.Index(i))
		}
		return parts
	default:
		return v.Interface()
	}
}

// decode reads JSON with whole numbers as such. What is not JSON is null.
func decode(raw json.RawMessage) any {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil
	}
	return numbers(v)
}

func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64() // too large: infinite
		return f
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	}
	return v
}

// FindStructType knows the parts of a call.
func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if _, ok := p.structs[name]; ok {
		return types.NewTypeTypeWithParam(cel.ObjectType(name)), true
	}
	return p.Registry.FindStructType(name)
}

// FindStructFieldNames are the fields of a part.
func (p *provider) FindStructFieldNames(name string) ([]string, bool) {
	if s, ok := p.structs[name]; ok {
		return s.order, true
	}
	return p.Registry.FindStructFieldNames(name)
}

// FindStructFieldType is a field of a part.
func (p *provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	if s, ok := p.structs[name]; ok {
		f, ok := s.fields[field]
		return f, ok
	}
	return p.Registry.FindStructFieldType(name, field)
}

// NewValue refuses to make a part of a call.
func (p *provider) NewValue(name string, fields map[string]ref.Val) ref.Val {
	if _, ok := p.structs[name]; ok {
		return types.NewErr("an expression cannot make a %s", name)
	}
	return p.Registry.NewValue(name, fields)
}

// NativeToValue wraps lists of a call's parts, which are values of CEL themselves.
func (p *provider) NativeToValue(v any) ref.Val {
	if parts, ok := v.([]*part); ok {
		return types.NewDynamicList(p, parts)
	}
	return p.Registry.NativeToValue(v)
}

// part is a struct of a call as a value of CEL, for one evaluation. Its fields are read by the provider's FieldTypes.
type part struct {
	v   reflect.Value
	t   *types.Type
	met map[string]any // its fields that were read
}

func (p *provider) part(v reflect.Value) *part {
	return &part{v: v, t: types.NewObjectType(p.names[v.Type()])}
}

// Type is the part's.
func (o *part) Type() ref.Type { return o.t }

// Value is the part: that is what the FieldTypes read.
func (o *part) Value() any { return o }

// Equal compares field by field.
func (o *part) Equal(other ref.Val) ref.Val {
	x, ok := other.(*part)
	return types.Bool(ok && (o == x || reflect.DeepEqual(o.v.Interface(), x.v.Interface())))
}

// ConvertToType knows no other type.
func (o *part) ConvertToType(t ref.Type) ref.Val {
	if t == types.TypeType {
		return o.t
	}
	return types.NewErr("a %s cannot become a %s", o.t, t.TypeName())
}

// ConvertToNative knows no other type.
func (o *part) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("a %s cannot become a %s", o.t, t)
}
