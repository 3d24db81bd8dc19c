package apigen

import (
	"fmt"
	"maps"
	"slices"
)

// reader is the function that reads a value of shape, for restjson's generic helpers.
func (g *generator) reader(shape string) (string, error) {
	s := g.Shapes[shape]
	switch s.Type {
	case "string":
		if s.Sensitive {
			return "(*restjson.Decoder).Secret", nil
		}
		return "(*restjson.Decoder).Text", nil
	case "boolean":
		return "(*restjson.Decoder).Bool", nil
	case "integer":
		return "(*restjson.Decoder).Int32", nil
	case "long":
		return "(*restjson.Decoder).Int64", nil
	case "structure":
		return "decode" + goName(shape), nil
	}
	return "", fmt.Errorf("shape %s: cannot read a %s here", shape, s.Type)
}

// decoders writes how requests are read.
func (g *generator) decoders() error {
	g.header(runtime)
	for _, name := range slices.Sorted(maps.Keys(g.inputs)) {
		s := g.Shapes[name]
		var body []string
		for _, m := range s.MemberNames() {
			if s.Members[m].Location == "" {
				body = append(body, m)
			}
		}
		var err error
		if g.tops[name] {
			g.p("// Decode reads a request; package restjson calls it.")
			g.p("func (v *%s) Decode(r *restjson.Request) {", goName(name))
			err = g.bound(s)
			if len(body) > 0 {
				g.p("d := r.Body()")
				err = g.members(s, body)
			}
			g.p("}\n")
		} else {
			g.p("func decode%s(d *restjson.Decoder) (v %s) {", goName(name), goName(name))
			err = g.members(s, body)
			g.p("return v\n}\n")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// bound writes how the members that travel in path and query are read.
func (g *generator) bound(s *Shape) error {
	for _, m := range s.MemberNames() {
		ref := s.Members[m]
		switch {
		case ref.Location == "":
		case ref.Location == "uri" && g.Shapes[ref.Shape].Type == "string" && s.Requires(m):
			g.p("v.%s = r.Label", goName(m))
		case ref.Location == "querystring" && g.Shapes[ref.Shape].Type == "list" && g.Shapes[g.Shapes[ref.Shape].Member.Shape].Type == "string":
			g.p("v.%s = r.Query[%q]", goName(m), ref.LocationName)
			if s.Requires(m) {
				g.p("r.Need(v.%s != nil, %q)", goName(m), m)
			}
		default:
			return fmt.Errorf("%s: cannot read it from %s", m, ref.Location)
		}
	}
	return nil
}

// members writes how an object is read into v from d.
func (g *generator) members(s *Shape, names []string) error {
	for _, m := range names {
		if s.Requires(m) && !g.nilable(s, m) {
			g.p("var has%s bool", goName(m))
		}
	}
	g.p("for key := range d.Members() {\nswitch key {")
	for _, m := range names {
		shape := s.Members[m].Shape
		g.p("case %q:", m)
		field := "v." + goName(m)
		switch t := g.Shapes[shape]; t.Type {
		case "list":
			read, err := g.reader(t.Member.Shape)
			if err != nil {
				return err
			}
			g.p("%s = restjson.List(d, %s)", field, read)
		case "map":
			g.p("%s = restjson.Map(d, (*restjson.Decoder).Text)", field)
		default:
			read, err := g.reader(shape)
			if err != nil {
				return err
			}
			if s.Requires(m) {
				g.p("has%s = restjson.Required(d, &%s, %s)", goName(m), field, read)
			} else {
				g.p("%s = restjson.Optional(d, %s)", field, read)
			}
		}
	}
	g.p("default:\nd.Skip()\n}\n}")
	for _, m := range names {
		switch {
		case !s.Requires(m):
		case g.nilable(s, m):
			g.p("d.Need(v.%s != nil, %q)", goName(m), m)
		default:
			g.p("d.Need(has%s, %q)", goName(m), m)
		}
	}
	return nil
}

func (g *generator) nilable(s *Shape, name string) bool {
	t := g.Shapes[s.Members[name].Shape].Type
	return t == "list" || t == "map"
}

// encoders writes how responses are written.
func (g *generator) encoders() error {
	tops := map[string]bool{}
	for _, op := range g.Operations {
		if op.Output != nil {
			tops[op.Output.Shape] = true
		}
	}
	headers := false
	for name := range tops {
		for _, ref := range g.Shapes[name].Members {
			headers = headers || ref.Location == "header"
		}
	}
	var imports []string
	if headers {
		imports = append(imports, `"net/http"`)
	}
	if slices.ContainsFunc(slices.Collect(maps.Keys(g.outputs)), g.kept) {
		imports = append(imports, `"slices"`)
	}
	if imports != nil {
		imports = append(imports, "")
	}
	g.header(append(imports, runtime)...)
	g.p("// timeLayout is how this service writes timestamps, in UTC.")
	g.p("const timeLayout = %q\n", g.layout)
	for _, name := range slices.Sorted(maps.Keys(g.outputs)) {
		s := g.Shapes[name]
		if g.kept(name) {
			g.p("// Encoded returns v with its JSON made, once for all who get it.")
			g.p("func (v %s) Encoded() *%[1]s {\nv.encoded = nil\ne := restjson.NewEncoder(4 << 10)\nv.Encode(e)", goName(name))
			g.p("v.encoded = slices.Clone(e.Bytes())\nreturn &v\n}\n")
		}
		method := "encode"
		if tops[name] {
			method = "Encode"
			g.p("// Encode writes the body of a response; package restjson calls it.")
		}
		g.p("func (v *%s) %s(e *restjson.Encoder) {", goName(name), method)
		if g.kept(name) {
			g.p("if v.encoded != nil {\ne.Raw(v.encoded)\nreturn\n}")
		}
		g.p("e.Begin()")
		var bound []string
		for _, m := range s.MemberNames() {
			ref := s.Members[m]
			switch ref.Location {
			case "":
				if err := g.encode(s, m); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			case "header":
				if !tops[name] || g.Shapes[ref.Shape].Type != "string" || s.Requires(m) {
					return fmt.Errorf("%s.%s: cannot write it to a header", name, m)
				}
				bound = append(bound, m)
			default:
				return fmt.Errorf("%s.%s: location %s in a response", name, m, ref.Location)
			}
		}
		g.p("e.End()\n}\n")
		if bound == nil {
			continue
		}
		g.p("// SetHeaders writes the members that travel as headers; package restjson calls it.")
		g.p("func (v *%s) SetHeaders(h http.Header) {", goName(name))
		for _, m := range bound {
			g.p("if v.%s != nil {\nh.Set(%q, *v.%s)\n}", goName(m), s.Members[m].LocationName, goName(m))
		}
		g.p("}\n")
	}
	return nil
}

// encode writes how member m of s is written. An optional one that is absent leaves
// no trace; a required list or map that is nil is written empty.
func (g *generator) encode(s *Shape, m string) error {
	shape := s.Members[m].Shape
	field, value := "v."+goName(m), "v."+goName(m)
	if g.optional(s, m) {
		value = "*" + field
	}
	var call string
	switch t := g.Shapes[shape]; t.Type {
	case "string":
		call = "e.Text(" + value + ")"
		if t.Sensitive {
			call = "e.Secret(" + value + ")"
		}
	case "boolean":
		call = "e.Bool(" + value + ")"
	case "integer":
		call = "e.Int(int64(" + value + "))"
	case "long":
		call = "e.Int(" + value + ")"
	case "timestamp":
		call = "e.Time(" + value + ", timeLayout)"
	case "structure":
		call = field + ".encode(e)"
	case "map":
		call = "e.TextMap(" + field + ")"
	case "list":
		switch g.Shapes[t.Member.Shape].Type {
		case "string":
			call = "e.Texts(" + field + ")"
		case "structure":
			call = fmt.Sprintf("restjson.WriteList(e, %s, func(e *restjson.Encoder, v *%s) { v.encode(e) })", field, goName(t.Member.Shape))
		default:
			return fmt.Errorf("%s: list of %s", m, g.Shapes[t.Member.Shape].Type)
		}
	default:
		return fmt.Errorf("%s: type %s", m, t.Type)
	}
	if s.Requires(m) {
		g.p("e.Key(%q)\n%s", m, call)
		return nil
	}
	g.p("if %s != nil {\ne.Key(%q)\n%s\n}", field, m, call)
	return nil
}
