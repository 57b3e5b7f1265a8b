package web

import (
	"fmt"
	"math"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

// place is where a recorder is, in degrees.
type place struct{ Lat, Lon float64 }

// positionOf reads a position; nil: there is none, or one that is nowhere.
func positionOf(p *transport.Position) *place {
	if p == nil {
		return nil
	}
	at := place{degrees(p.Lat), degrees(p.Lon)}
	if math.Abs(at.Lat) > 90 || math.Abs(at.Lon) > 180 {
		return nil
	}
	return &at
}

func degrees(s evidence.Signed) float64 {
	d := float64(s.Value) / 1e6
	if s.Sign == "-" {
		return -d
	}
	return d
}

// String writes a place as people do: 31.230416° N, 121.473701° E.
func (p place) String() string {
	ns, ew := "N", "E"
	if p.Lat < 0 {
		ns = "S"
	}
	if p.Lon < 0 {
		ew = "W"
	}
	return fmt.Sprintf("%.6f° %s, %.6f° %s", math.Abs(p.Lat), ns, math.Abs(p.Lon), ew)
}

// Size of the map, in its own units, and how much room is kept around what is on it.
const (
	mapWidth  = 640
	mapHeight = 360
	mapMargin = 40
	mapLeast  = 200.0 // metres across at least: nothing is known more exactly
	degree    = 111_320.0
)

// liveMap shows where recorders are to each other. North is up; there is nothing on it but them and a scale.
type liveMap struct {
	Points []mapPoint
	Bar    float64 // length of the scale's bar
	Length string  // that it stands for
}

// mapPoint is a recorder on the map.
type mapPoint struct {
	No   int
	Name string
	X, Y float64
	At   place
}

// mapOf draws the recorders whose place is known; nil: there are not two.
func mapOf(tiles []tile) *liveMap {
	var first *place
	var m liveMap
	var west, east, south, north float64
	for _, t := range tiles {
		if t.At == nil {
			continue
		}
		if first == nil {
			first = t.At
		}
		lon := math.Remainder(t.At.Lon-first.Lon, 360) // across the antimeridian too
		x, y := lon*degree*math.Cos(first.Lat*math.Pi/180), (t.At.Lat-first.Lat)*degree
		west, east, south, north = min(west, x), max(east, x), min(south, y), max(north, y)
		m.Points = append(m.Points, mapPoint{No: t.No, Name: t.Name, X: x, Y: y, At: *t.At})
	}
	if len(m.Points) < 2 {
		return nil
	}
	metres := max((east-west)/(mapWidth-2*mapMargin), (north-south)/(mapHeight-2*mapMargin), mapLeast/(mapWidth-2*mapMargin)) // a unit
	for i, p := range m.Points {
		m.Points[i].X = round(mapWidth/2 + (p.X-(west+east)/2)/metres)
		m.Points[i].Y = round(mapHeight/2 - (p.Y-(south+north)/2)/metres)
	}
	length := roundLength(metres * mapWidth / 4)
	m.Bar, m.Length = round(length/metres), lengthText(length)
	return &m
}

func round(x float64) float64 { return math.Round(x*10) / 10 }

// roundLength is the greatest of 1, 2, 5, 10 … that is not greater.
func roundLength(metres float64) float64 {
	p := math.Pow(10, math.Floor(math.Log10(metres)))
	switch {
	case metres >= 5*p:
		return 5 * p
	case metres >= 2*p:
		return 2 * p
	}
	return p
}

func lengthText(metres float64) string {
	if metres >= 1000 {
		return fmt.Sprintf("%g km", metres/1000)
	}
	return fmt.Sprintf("%g m", metres)
}

// Width, Height, Left and Base place what is always the same.
func (m liveMap) Width() int  { return mapWidth }
func (m liveMap) Height() int { return mapHeight }
func (m liveMap) Left() int   { return mapMargin / 2 }
func (m liveMap) Base() int   { return mapHeight - mapMargin/2 }

// End is where the scale's bar ends.
func (m liveMap) End() float64 { return float64(m.Left()) + m.Bar }
