package xmlapi

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
)

// maxDepth is how deep elements may lie in each other.
const maxDepth = 16

// maxElements is how many elements a document may have: more than ten thousand
// parts, each with all it can say. Empty ones take thirty times their length in memory.
const maxElements = 100_000

// Decode reads a whole document into v, whose root element must be named root (in S3's
// namespace or in none). Anything that is not one well-formed element without a
// document type is an error.
func Decode(doc []byte, root string, v any) error {
	d := xml.NewTokenDecoder(&guard{d: xml.NewDecoder(bytes.NewReader(doc))})
	start, err := first(d)
	if err != nil {
		return err
	}
	if start.Name.Local != root {
		return errors.New("the root element is " + start.Name.Local + ", not " + root)
	}
	if ns := start.Name.Space; ns != "" && ns != Namespace {
		return errors.New("the namespace " + ns + " is not S3's")
	}
	if err := d.DecodeElement(v, &start); err != nil {
		return err
	}
	for {
		switch t, err := d.Token(); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		default:
			if !blank(t) {
				return errors.New("something follows the root element")
			}
		}
	}
}

func first(d *xml.Decoder) (xml.StartElement, error) {
	for {
		t, err := d.Token()
		if err != nil {
			return xml.StartElement{}, err
		}
		if start, ok := t.(xml.StartElement); ok {
			return start, nil
		}
		if !blank(t) {
			return xml.StartElement{}, errors.New("text before the root element")
		}
	}
}

// blank reports whether a token may stand outside the root element.
func blank(t xml.Token) bool {
	switch t := t.(type) {
	case xml.CharData:
		return len(bytes.TrimSpace(t)) == 0
	case xml.Comment, xml.ProcInst:
		return true
	}
	return false
}

// guard refuses document types, deep nesting and too many elements.
type guard struct {
	d        *xml.Decoder
	depth    int
	elements int
}

func (g *guard) Token() (xml.Token, error) {
	t, err := g.d.Token()
	if err != nil {
		return t, err
	}
	switch t.(type) {
	case xml.Directive:
		return nil, errors.New("a document type is not allowed")
	case xml.StartElement:
		if g.elements++; g.elements > maxElements {
			return nil, errors.New("there are too many elements")
		}
		if g.depth++; g.depth > maxDepth {
			return nil, errors.New("the elements are nested too deeply")
		}
	case xml.EndElement:
		g.depth--
	}
	return t, nil
}
