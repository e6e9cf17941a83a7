// Package expr is the language in which the configuration speaks of a call: CEL, typed by the fields of call.Call and
// bounded in cost.
package expr

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"

	"github.com/onhook/onhook/pkg/call"
)

// maxCost bounds one evaluation, in CEL's units: about what comparing a million values takes, some tens of milliseconds.
const maxCost = 1_000_000

// maxTime bounds it by the clock as well: what a value costs to compare or to convert is not all in the units.
const maxTime = time.Second

// What an expression is taken to meet at most when its cost is estimated. What is larger meets maxCost when it is evaluated.
const (
	likelyItems = 200  // turns, keys, tags
	likelyText  = 4096 // characters
)

// Env knows the fields of a call. It is safe for concurrent use.
type Env struct {
	env      *cel.Env
	provider *provider
}

// NewEnv makes the environment: the variable call, CEL's standard library, its optional values and its string functions.
func NewEnv() (*Env, error) {
	p, err := newProvider()
	if err != nil {
		return nil, err
	}
	env, err := cel.NewEnv(
		cel.CustomTypeProvider(p),
		cel.CustomTypeAdapter(p),
		cel.OptionalTypes(),
		cel.CrossTypeNumericComparisons(true),
		ext.Strings(),
		cel.Variable("call", cel.ObjectType(root)),
	)
	if err != nil {
		return nil, err
	}
	return &Env{env: env, provider: p}, nil
}

// Expr is a compiled expression. It is safe for concurrent use.
type Expr struct {
	text     string
	program  cel.Program
	provider *provider
}

// String is the expression as it was written.
func (e *Expr) String() string { return e.text }

// Bool compiles an expression that is true or false.
func (e *Env) Bool(text string) (*Expr, error) {
	return e.compile(text, "true or false", types.BoolType)
}

// Field compiles an expression whose value a CRM's field can hold: text, a number, true or false, a time, or null.
func (e *Env) Field(text string) (*Expr, error) {
	return e.compile(text, "text, a number, a time, or true or false",
		types.BoolType, types.StringType, types.IntType, types.UintType, types.DoubleType, types.TimestampType, types.NullType)
}

func (e *Env) compile(text, want string, results ...*types.Type) (*Expr, error) {
	ast, issues := e.env.Compile(text)
	if issues.Err() != nil {
		var errs []error
		for _, i := range issues.Errors() {
			errs = append(errs, fmt.Errorf("line %d, column %d of %q: %s", i.Location.Line(), i.Location.Column()+1, text, oneLine(i.Message)))
		}
		return nil, errors.Join(errs...)
	}
	if got := ast.OutputType(); !fits(got, results) {
		return nil, fmt.Errorf("%q is %s; want %s", text, got, want)
	}
	most, err := e.env.EstimateCost(ast, sizes{})
	if err != nil {
		return nil, fmt.Errorf("%q: its cost cannot be estimated: %w", text, err)
	}
	if most.Max > maxCost {
		return nil, fmt.Errorf("%q may cost %s per call, the limit is %d; loop over less, or not within a loop", text, costText(most.Max), maxCost)
	}
	program, err := e.env.Program(ast, cel.CostLimit(maxCost), cel.InterruptCheckFrequency(1), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, fmt.Errorf("%q: %w", text, err)
	}
	return &Expr{text: text, program: program, provider: e.provider}, nil
}

func fits(got *types.Type, results []*types.Type) bool {
	if got.TypeName() == "optional_type" && len(results) > 1 { // of a field: where there is none, it is null
		got = got.Parameters()[0]
	}
	if got.IsExactType(types.DynType) {
		return true // known when it is evaluated
	}
	for _, t := range results {
		if got.IsExactType(t) {
			return true
		}
	}
	return false
}

// True evaluates an expression that Bool compiled.
func (e *Expr) True(c *call.Call) (bool, error) {
	v, err := e.eval(c)
	if err != nil {
		return false, err
	}
	b, ok := v.(types.Bool)
	if !ok {
		return false, fmt.Errorf("%s is %s, not true or false", e.text, v.Type().TypeName())
	}
	return bool(b), nil
}

// Value evaluates an expression that Field compiled: to a string, bool, int64, float64 or nil. A time is RFC 3339.
func (e *Expr) Value(c *call.Call) (any, error) {
	v, err := e.eval(c)
	if err != nil {
		return nil, err
	}
	if o, ok := v.(*types.Optional); ok {
		if !o.HasValue() {
			return nil, nil
		}
		v = o.GetValue()
	}
	switch v := v.(type) {
	case types.Bool:
		return bool(v), nil
	case types.String:
		return string(v), nil
	case types.Int:
		return int64(v), nil
	case types.Uint:
		if v <= math.MaxInt64 {
			return int64(v), nil
		}
		return float64(v), nil
	case types.Double:
		return float64(v), nil
	case types.Timestamp:
		return call.At(v.Time).String(), nil
	case types.Null:
		return nil, nil
	default:
		return nil, fmt.Errorf("%s is %s, which no field can hold", e.text, v.Type().TypeName())
	}
}

func (e *Expr) eval(c *call.Call) (ref.Val, error) {
	// Not a context of the caller's: at a shutdown its end would pass for a fault of the call.
	ctx, cancel := context.WithTimeout(context.Background(), maxTime)
	defer cancel()
	v, _, err := e.program.ContextEval(ctx, map[string]any{"call": e.provider.part(reflect.ValueOf(c).Elem())})
	if err != nil {
		return nil, fmt.Errorf("%s: %s", e.text, e.reason(err))
	}
	return v, nil
}

// sizes is what the estimate of an expression's cost goes by.
type sizes struct{}

// EstimateSize bounds a text or a list.
func (sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	most := uint64(likelyItems)
	if k := n.Type().Kind(); k == types.StringKind || k == types.BytesKind || k == types.DynKind {
		most = likelyText
	}
	return &cost.SizeEstimate{Min: 0, Max: most}
}

// EstimateCallCost leaves every function to CEL's own estimate.
func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

func costText(n uint64) string {
	if n == math.MaxUint64 {
		return "any amount"
	}
	return fmt.Sprint(n)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
