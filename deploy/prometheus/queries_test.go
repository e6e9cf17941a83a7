package prometheus_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/prometheus/promql/parser"
)

// ruleFile is as much of rules.yaml as the tests read.
type ruleFile struct {
	Groups []struct {
		Rules []struct {
			Record, Alert, Expr string
			Annotations         map[string]string
		}
	}
}

// query is an expression of the rules or of the dashboard, and the labels that are read off its result.
type query struct {
	where, expr string
	reads       []string
	record      string // the metric that it makes
}

func readRules(t *testing.T) ruleFile {
	t.Helper()
	raw, err := os.ReadFile("rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rules ruleFile
	if err := yaml.Unmarshal(raw, &rules); err != nil {
		t.Fatal(err)
	}
	return rules
}

var (
	inAnnotation = regexp.MustCompile(`\$labels\.(\w+)`)
	inLegend     = regexp.MustCompile(`\{\{(\w+)\}\}`)
	labelValues  = regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`)
	variables    = strings.NewReplacer("$__rate_interval", "5m", "$source", ".*", "$sink", ".*")
)

func found(pattern *regexp.Regexp, text string) (names []string) {
	for _, m := range pattern.FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	return names
}

func ruleQueries(t *testing.T) (queries []query) {
	for _, g := range readRules(t).Groups {
		for _, r := range g.Rules {
			queries = append(queries, query{r.Record + r.Alert, r.Expr, found(inAnnotation, r.Annotations["summary"]), r.Record})
		}
	}
	return queries
}

// panel is as much of a panel as the tests read.
type panel struct {
	ID          int
	Type, Title string
	Targets     []struct{ Expr, LegendFormat string }
	FieldConfig struct{ Defaults struct{ Unit string } }
	GridPos     struct{ X, Y, W, H int }
	Description string
	Datasource  struct{ UID string }
}

type dashboard struct {
	Panels     []panel
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	raw, err := os.ReadFile("../grafana/onhook.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func dashboardQueries(t *testing.T) (queries []query) {
	d := readDashboard(t)
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			queries = append(queries, query{"panel " + p.Title, variables.Replace(target.Expr), found(inLegend, target.LegendFormat), ""})
		}
	}
	for _, v := range d.Templating.List {
		if m := labelValues.FindStringSubmatch(v.Definition); m != nil {
			queries = append(queries, query{"variable " + v.Name, m[1], []string{m[2]}, ""})
		} else if v.Type == "query" {
			queries = append(queries, query{"variable " + v.Name, v.Definition, nil, ""})
		}
	}
	return queries
}

// TestQueriesAreAnswered: every metric, label and value that a query names is one that a running onhook exports, and the
// dashboard shows each of its metrics.
func TestQueriesAreAnswered(t *testing.T) {
	t.Parallel()
	c := checker{there: exported(t), asked: map[string]bool{}}
	for _, s := range c.there {
		s["instance"] = "127.0.0.1:8081" // which Prometheus adds
	}
	for _, q := range append(ruleQueries(t), dashboardQueries(t)...) {
		for _, fault := range c.check(q) {
			t.Errorf("%s: %s", q.where, fault)
		}
	}
	for _, s := range c.there {
		base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(s["__name__"], "_bucket")
		if strings.HasPrefix(base, "onhook_") && !c.asked[base] {
			c.asked[base] = true
			t.Errorf("nothing shows %s", base)
		}
	}
}

// TestCheckFindsWhatIsWrong, or the test above would prove nothing.
func TestCheckFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	for expr, fault := range map[string]string{
		`sum(onhook_a{x="1"})`:                         "",
		`sum by (x) (rate(onhook_a{x=~"1|3"}[5m]))`:    "",
		`sum(onhook_b)`:                                "onhook_b",
		`onhook_a{x="2"}`:                              `x="2"`,
		`onhook_a{job="onhook"}`:                       "job",
		`onhook_a{y=""}`:                               "y",
		`sum by (y) (onhook_a)`:                        "y",
		`onhook_a and on (y) onhook_a`:                 "y",
		`sum by (x) (onhook_a`:                         "unclosed",
		`onhook_a unless ignoring (x) onhook_a{x="9"}`: `x="9"`,
	} {
		c := checker{there: []series{{"__name__": "onhook_a", "x": "1"}}, asked: map[string]bool{}}
		got := strings.Join(c.check(query{expr: expr}), "; ")
		if (fault == "") != (got == "") || !strings.Contains(got, fault) {
			t.Errorf("%s: %q, want %q", expr, got, fault)
		}
	}
	c := checker{there: []series{{"__name__": "onhook_a", "x": "1", "z": "1"}}, asked: map[string]bool{}}
	if faults := c.check(query{expr: "sum by (x) (onhook_a)", reads: []string{"z"}}); len(faults) != 1 {
		t.Errorf("a legend of a label that is summed away: %v", faults)
	}
}

// checker knows what is exported, and what was recorded so far.
type checker struct {
	there []series
	asked map[string]bool
}

func (c *checker) check(q query) (faults []string) {
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(q.expr)
	if err != nil {
		return []string{err.Error()}
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		var names []string
		switch n := node.(type) {
		case *parser.VectorSelector:
			c.asked[n.Name] = true
			if len(c.matching(n)) == 0 {
				faults = append(faults, "nothing exported matches "+n.String())
			}
			for _, m := range n.LabelMatchers { // one that asks for a label to be absent matches what never has it
				names = append(names, m.Name)
			}
		case *parser.AggregateExpr:
			names = n.Grouping
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				names = n.VectorMatching.MatchingLabels
			}
		default:
			return nil
		}
		have := c.beneath(node)
		for _, name := range names {
			if !slices.Contains(have, name) {
				faults = append(faults, "no label "+name+" beneath "+node.String())
			}
		}
		return nil
	})
	out := c.labels(expr)
	for _, name := range q.reads {
		if !slices.Contains(out, name) {
			faults = append(faults, "its result has no label "+name)
		}
	}
	if q.record != "" {
		made := series{"__name__": q.record}
		for _, name := range out {
			if name != "__name__" {
				made[name] = "any"
			}
		}
		c.there = append(c.there, made)
	}
	return faults
}

// matching is the series that a selector selects.
func (c *checker) matching(v *parser.VectorSelector) (found []series) {
	for _, s := range c.there {
		fits := true
		for _, m := range v.LabelMatchers {
			fits = fits && (m.Matches(s[m.Name]) || s[m.Name] == "any")
		}
		if fits {
			found = append(found, s)
		}
	}
	return found
}

// beneath is the labels of all series that are selected in a node.
func (c *checker) beneath(node parser.Node) (names []string) {
	parser.Inspect(node, func(n parser.Node, _ []parser.Node) error {
		if v, ok := n.(*parser.VectorSelector); ok {
			for _, s := range c.matching(v) {
				for name := range s {
					names = append(names, name)
				}
			}
		}
		return nil
	})
	return names
}

// labels is the labels that an expression's result has.
func (c *checker) labels(node parser.Node) []string {
	switch n := node.(type) {
	case *parser.AggregateExpr:
		if !n.Without {
			return n.Grouping
		}
	case *parser.BinaryExpr:
		if _, number := n.LHS.(*parser.NumberLiteral); !number {
			return c.labels(n.LHS)
		}
		return c.labels(n.RHS)
	case *parser.ParenExpr:
		return c.labels(n.Expr)
	case *parser.Call:
		return c.labels(n.Args[len(n.Args)-1])
	}
	return c.beneath(node)
}

// TestPanels: each says what it shows in which unit, and none lies over another.
func TestPanels(t *testing.T) {
	t.Parallel()
	d := readDashboard(t)
	taken := map[[2]int]string{}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("panel %q has the id of another", p.Title)
		}
		ids[p.ID] = true
		if p.Type != "row" && (len(p.Targets) == 0 || p.Description == "" || p.Type != "table" && p.FieldConfig.Defaults.Unit == "") {
			t.Errorf("panel %q has no query, no unit or no description", p.Title)
		}
		if p.Type != "row" && p.Datasource.UID != "${datasource}" {
			t.Errorf("panel %q asks %q, not the data source that is chosen above", p.Title, p.Datasource.UID)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, there := taken[[2]int{x, y}]; there {
					t.Fatalf("panel %q lies over %q", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

var heading = regexp.MustCompile(`(?m)^### (\w+)$`)

// TestEveryAlertHasItsRunbook: its section in deploy/README.md, where its address points; and no section is of no alert.
func TestEveryAlertHasItsRunbook(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, runbooks, ok := strings.Cut(string(text), "\n## Runbooks\n")
	if !ok {
		t.Fatal("deploy/README.md has no section Runbooks")
	}
	runbooks, _, _ = strings.Cut(runbooks, "\n## ")
	sections := found(heading, runbooks)
	for _, g := range readRules(t).Groups {
		for _, r := range g.Rules {
			if r.Alert == "" {
				continue
			}
			i := slices.Index(sections, r.Alert)
			if i < 0 {
				t.Errorf("%s has no section", r.Alert)
				continue
			}
			sections = slices.Delete(sections, i, i+1)
			if url := r.Annotations["runbook_url"]; !strings.HasSuffix(url, "/deploy/README.md#"+strings.ToLower(r.Alert)) {
				t.Errorf("%s points to %s", r.Alert, url)
			}
			if r.Annotations["summary"] == "" {
				t.Errorf("%s has no summary", r.Alert)
			}
		}
	}
	for _, s := range sections {
		t.Errorf("%s is no alert", s)
	}
}
