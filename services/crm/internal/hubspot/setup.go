package hubspot

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// needed are the properties that the sink writes to, besides HubSpot's own.
var needed = []struct {
	object string
	property
}{
	{"calls", property{Name: callKey, Label: "onhook key", FieldType: "text", HasUniqueValue: true}},
	{"calls", property{Name: "onhook_agent", Label: "onhook agent", FieldType: "text"}},
	{"calls", property{Name: "onhook_answered_by", Label: "onhook answered by", FieldType: "text"}},
	{"calls", property{Name: "onhook_campaign", Label: "onhook campaign", FieldType: "text"}}, // for the sink's fields
	{"calls", property{Name: "onhook_extracted", Label: "onhook extracted", FieldType: "textarea"}},
	{"calls", property{Name: "onhook_link", Label: "onhook link", FieldType: "text"}}, // for the sink's fields
	{"calls", property{Name: "onhook_outcome", Label: "onhook outcome", FieldType: "text"}},
	{"calls", property{Name: "onhook_provider", Label: "onhook provider", FieldType: "text"}},
	{"contacts", property{Name: phoneKey, Label: "onhook phone key", FieldType: "text", HasUniqueValue: true}},
}

// beside is a property of HubSpot's own; ours are put in its group.
var beside = map[string]string{"calls": "hs_call_title", "contacts": "phone"}

// lack is a property that is missing, or is there without the unique values that it needs.
type lack struct {
	object string
	property
	exists bool
}

func (l lack) String() string {
	s := fmt.Sprintf("property %s of %s: a %s", l.Name, l.object, map[string]string{"text": "single-line text", "textarea": "multi-line text"}[l.FieldType])
	if l.HasUniqueValue {
		s += " that requires unique values"
	}
	if l.exists {
		s += "; the one that is there does not, which cannot be changed: delete it first"
	}
	return s
}

// Check implements sink.Sink: each property that calls are written to must be there, or all calls would die for it.
func (c *Client) Check(ctx context.Context) error {
	lacks, _, err := c.lacks(ctx)
	if err != nil || len(lacks) == 0 {
		return err
	}
	var said []string
	for _, l := range lacks {
		said = append(said, l.String())
	}
	return fmt.Errorf("HubSpot lacks what the sink %[1]s needs; run onhook crm setup %[1]s, or create: %[2]s", c.name, strings.Join(said, "; "))
}

// Setup creates what the account lacks. What it must not or cannot create it answers as what is left for an
// administrator to do.
func (c *Client) Setup(ctx context.Context) (done, todo []string, err error) {
	lacks, groups, err := c.lacks(ctx)
	if err != nil {
		return nil, nil, err
	}
	forbidden := map[string]bool{}
	for _, l := range lacks {
		if l.exists || forbidden[l.object] {
			todo = append(todo, l.String())
			continue
		}
		l.Type, l.GroupName = "string", groups[l.object]
		err := c.do(ctx, http.MethodPost, properties+l.object, l.property, &struct{}{})
		f, refused := errors.AsType[*failure](err)
		switch {
		case err == nil:
			done = append(done, l.String())
		case refused && f.status == http.StatusForbidden:
			forbidden[l.object] = true
			todo = append(todo, l.String())
		case refused && f.status == http.StatusConflict: // someone made it meanwhile; the next look tells how
			continue
		default:
			return done, todo, fmt.Errorf("cannot create property %s of %s: %w", l.Name, l.object, err)
		}
	}
	return done, todo, nil
}

// lacks compares the account with what is needed, and says in which group each object's properties are to be.
func (c *Client) lacks(ctx context.Context) ([]lack, map[string]string, error) {
	groups := map[string]string{}
	var out []lack
	for _, object := range []string{"calls", "contacts"} {
		var ans struct {
			Results []property `json:"results"`
		}
		if err := c.do(ctx, http.MethodGet, properties+object, nil, &ans); err != nil {
			return nil, nil, fmt.Errorf("cannot read the properties of %s: %w", object, err)
		}
		for _, p := range ans.Results {
			if p.Name == beside[object] {
				groups[object] = p.GroupName
			}
		}
		if groups[object] == "" {
			return nil, nil, fmt.Errorf("HubSpot's answer has no property %s of %s: is this its API?", beside[object], object)
		}
		for _, n := range needed {
			if n.object != object {
				continue
			}
			at := slices.IndexFunc(ans.Results, func(p property) bool { return p.Name == n.Name })
			if at < 0 || n.HasUniqueValue && !ans.Results[at].HasUniqueValue {
				out = append(out, lack{object: object, property: n.property, exists: at >= 0})
			}
		}
	}
	return out, groups, nil
}
