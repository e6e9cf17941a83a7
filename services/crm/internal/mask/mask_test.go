package mask

import "testing"

func TestValueIsFoundInWhateverFormItIsRepeated(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ message, value, want string }{
		{"no LOPEZ here", "Lopez", "no *** here"},
		{"no Li, but Lima", "Li", "no ***, but Lima"},
		{"a 300 of 3000", "300", "a *** of 3000"},
		{"x y", "x", "x y"},
		{"near: they will pay.", "<p>They will pay.</p>", "near: ***"},
		{`{"body":"\u003cp\u003eZoé \"Z\"\u003c/p\u003e"}`, `<p>Zoé "Z"</p>`, `{"body":"***"}`},
		{"nothing", "", "nothing"},
	} {
		if got := Value(tt.message, tt.value); got != tt.want {
			t.Errorf("%q without %q is %q, want %q", tt.message, tt.value, got, tt.want)
		}
	}
}
