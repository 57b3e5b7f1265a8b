package image

// HostileEntries are what a FAT can hold that no camera writes, beside two good files: /GOOD.MP4 and /DCIM/GOOD2.MP4. Everything that breaks has
// BAD in its name, as far as it has a name. Cluster is the volume's.
func HostileEntries(cluster int) []Entry {
	two := make([]byte, 2*cluster)
	for i := range two {
		two[i] = byte(i / 512)
	}
	return []Entry{
		{Name: "GOOD.MP4", Data: []byte("good footage")},
		{Name: "DCIM", Dir: []Entry{{Name: "GOOD2.MP4", Data: []byte("more good footage")}}},
		{Name: "BADSIZE.MP4", Data: two, Claim: uint32(8 * cluster)},             // its chain ends long before its size
		{Name: "BADLOOP.MP4", Data: two, Claim: uint32(8 * cluster), Loop: true}, // its chain never ends
		{Name: "BADCROSS.MP4", Data: two, Like: "BADSIZE.MP4"},                   // the same clusters as another file
		{Name: "BADSTART.MP4", Data: two, Raw: firstCluster(0x0ffffff0)},         // begins beyond the medium
		{Name: "BADFREE.MP4", Data: two, Raw: firstCluster(1)},                   // begins at a cluster that there is not
		{Name: "BADNEST", Dir: []Entry{{Name: "AGAIN", Dir: []Entry{}, Like: "BADNEST"}, {Name: "INNER.TXT", Data: []byte("inside")}}},
		{Name: "BADCHAIN", Dir: []Entry{{Name: "INNER2.TXT", Data: []byte("inside")}}, Loop: true}, // the folder's own chain never ends
		{Name: "BADFILED", Dir: []Entry{}, Like: "BADSIZE.MP4"},                                    // a folder whose entries are footage
		{Name: "a broken long name.mp4", Short: "BADSUM  MP4", Data: two, Raw: func(raw []byte) { raw[13] ^= 0xff }},
		{Name: "a long name without its last part.mp4", Short: "BADSEQ  MP4", Data: two, Raw: func(raw []byte) { raw[0] &^= 0x40 }},
		{Name: "BADNAMES", Dir: []Entry{{Name: "FIRST.MP4", Data: two}, {Name: "../../../etc/passwd", Short: "BADUP      ", Data: two},
			{Name: "BAD/slash.mp4", Short: "BADSLASHMP4", Data: two}, {Short: "LAST    MP4", Data: two}}},
		{Name: "..", Short: "BADDOTS    ", Data: two},
		{Name: "Twice.mp4", Short: "TWICE~1 MP4", Data: []byte("one of two")},
		{Name: "TWICE.MP4", Short: "TWICE~2 MP4", Data: []byte("the other of two")},
		{Short: "\xcf\xd6\xb3\xa1\xd6\xb4\xb7\xa8MP4", Data: []byte("a short name in GBK: 现场执法")},
		{Short: "BAD\x01\x02\x1f  MP4", Data: two},
		{Short: "BAD:|*? MP4", Data: two},
		{Short: ".. BAD  MP4", Data: two},
	}
}

// firstCluster changes where a file begins.
func firstCluster(n uint32) func([]byte) {
	return func(raw []byte) {
		short := raw[len(raw)-32:]
		le.PutUint16(short[20:], uint16(n>>16))
		le.PutUint16(short[26:], uint16(n))
	}
}
