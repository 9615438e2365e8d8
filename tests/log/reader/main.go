// Command log-reader reads a whole log with the packages of Go's checksum database, which we did not write.
//
//	log-reader DIR VKEY
//
// DIR holds the files below the log's prefix (checkpoint, tile/…). Every tile and every entry is checked
// against the signed root, and proofs are made and checked. It prints one line of JSON, or what is wrong.
package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8
const width = 1 << height

// directory is a tlog.TileReader over files.
type directory string

func (d directory) Height() int                     { return height }
func (d directory) SaveTiles([]tlog.Tile, [][]byte) {}
func (d directory) read(path string) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(d), path))
}
func (d directory) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range tiles {
		data, err := d.readTile(tile)
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	return found, nil
}

// readTile reads a tile, or the beginning of the full one when the partial one is gone.
func (d directory) readTile(tile tlog.Tile) ([]byte, error) {
	data, err := d.read(pathOf(tile))
	if os.IsNotExist(err) && tile.W < width {
		full := tile
		full.W = width
		if data, err = d.read(pathOf(full)); err == nil && tile.L >= 0 {
			data = data[:tile.W*tlog.HashSize]
		}
	}
	return data, err
}

// pathOf is the path that c2sp.org/tlog-tiles gives a tile: without the height, `entries` for `data`.
func pathOf(tile tlog.Tile) string {
	path := strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/", height))
	return "tile/" + strings.Replace(path, "data/", "entries/", 1)
}

func openCheckpoint(d directory, vkey string) (tlog.Tree, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return tlog.Tree{}, err
	}
	body, err := d.read("checkpoint")
	if err != nil {
		return tlog.Tree{}, err
	}
	signed, err := note.Open(body, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(signed.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("malformed checkpoint %q", signed.Text)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return tlog.Tree{}, fmt.Errorf("malformed root %q", lines[2])
	}
	return tlog.Tree{N: size, Hash: tlog.Hash(root)}, nil
}

func parseBundle(data []byte, count int) ([][]byte, error) {
	var entries [][]byte
	for len(data) > 0 && len(entries) < count {
		if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
			return nil, fmt.Errorf("an entry bundle ends within an entry")
		}
		end := 2 + int(binary.BigEndian.Uint16(data))
		entries, data = append(entries, data[2:end]), data[end:]
	}
	if len(entries) != count {
		return nil, fmt.Errorf("a bundle has %d entries, not %d", len(entries), count)
	}
	return entries, nil
}

// checkEntries compares every entry with its leaf hash, and gives the digest of them all.
func checkEntries(d directory, tree tlog.Tree, hashes tlog.HashReader) (string, error) {
	all := sha256.New()
	for first := int64(0); first < tree.N; first += width {
		count := int(min(width, tree.N-first))
		data, err := d.readTile(tlog.Tile{H: height, L: -1, N: first / width, W: count})
		if err != nil {
			return "", err
		}
		entries, err := parseBundle(data, count)
		if err != nil {
			return "", err
		}
		var indexes []int64
		for index := range entries {
			indexes = append(indexes, tlog.StoredHashIndex(0, first+int64(index)))
		}
		leaves, err := hashes.ReadHashes(indexes)
		if err != nil {
			return "", err
		}
		for index, entry := range entries {
			if tlog.RecordHash(entry) != leaves[index] {
				return "", fmt.Errorf("entry %d is not the one in the tree", first+int64(index))
			}
			all.Write(entry)
		}
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

// checkProofs makes and checks proofs of some entries and of some earlier trees.
func checkProofs(tree tlog.Tree, hashes tlog.HashReader) error {
	for step := int64(0); step < 20 && tree.N > 0; step++ {
		index := (tree.N - 1) * step / 19
		leaves, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
		if err != nil {
			return err
		}
		record, err := tlog.ProveRecord(tree.N, index, hashes)
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(record, tree.N, tree.Hash, index, leaves[0]); err != nil {
			return err
		}
		older, err := tlog.TreeHash(index+1, hashes)
		if err != nil {
			return err
		}
		growth, err := tlog.ProveTree(tree.N, index+1, hashes)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(growth, tree.N, tree.Hash, index+1, older); err != nil {
			return err
		}
	}
	return nil
}

func run(d directory, vkey string) error {
	tree, err := openCheckpoint(d, vkey)
	if err != nil {
		return err
	}
	hashes := tlog.TileHashReader(tree, d)
	if root, err := tlog.TreeHash(tree.N, hashes); err != nil || root != tree.Hash {
		return fmt.Errorf("the root is not that of the tiles: %v", err)
	}
	digest, err := checkEntries(d, tree, hashes)
	if err != nil {
		return err
	}
	if err := checkProofs(tree, hashes); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"size": tree.N, "root": hex.EncodeToString(tree.Hash[:]), "entries_sha256": digest,
	})
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: log-reader DIR VKEY")
		os.Exit(2)
	}
	if err := run(directory(os.Args[1]), os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "log-reader:", err)
		os.Exit(1)
	}
}
