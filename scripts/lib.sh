# What demo, test and bench share. Sourced, never run.
# shellcheck shell=bash

say() { printf '%s\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

# need_debian refuses to go on where the packages below can't be had.
need_debian() {
	command -v apt-get >/dev/null && command -v dpkg-query >/dev/null ||
		die "This script installs Debian packages; this system has no apt-get. Nothing was changed. Use Debian 12 or a kin of it."
	command -v go >/dev/null || export PATH="$PATH:/usr/local/go/bin"
	command -v go >/dev/null || die "Go is not installed (go.mod says which version). Nothing was changed. Install it from go.dev or your distribution."
}

# install PACKAGE… installs Debian packages that are missing, and says which.
install() {
	local missing=() p
	for p in "$@"; do
		[ "$(dpkg-query -W -f '${Status}' "$p" 2>/dev/null)" = "install ok installed" ] || missing+=("$p")
	done
	[ ${#missing[@]} -eq 0 ] && return
	local root=()
	[ "$(id -u)" -eq 0 ] || root=(sudo)
	say "installing Debian packages (needs root): ${missing[*]}"
	"${root[@]}" apt-get update -qq ||
		die "apt-get update: the package lists could not be fetched. Nothing was changed. Check the network and run this again."
	DEBIAN_FRONTEND=noninteractive "${root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
		die "apt-get install ${missing[*]}: see above. Run this again when that is mended."
}

# tool NAME PACKAGE builds a developers' tool of deploy/tools/go.mod into .tools/, once per version of that file.
tool() {
	local stamp
	stamp=$(cat deploy/tools/go.mod deploy/tools/go.sum | sha256sum | cut -c1-16)
	mkdir -p .tools
	if [ ! -x ".tools/$1-$stamp" ]; then
		say "building $1 (once)"
		(cd deploy/tools && go build -o "../../.tools/$1-$stamp.new" "$2") && mv ".tools/$1-$stamp.new" ".tools/$1-$stamp"
	fi
	ln -sf "$1-$stamp" ".tools/$1"
}

# axe puts axe-core, which checks pages for accessibility, at .tools/axe.min.js, once. The digest is of the file that was looked at.
axe() {
	local dir sum=29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c
	mkdir -p .tools
	[ ! -f .tools/axe.min.js ] || ! echo "$sum  .tools/axe.min.js" | sha256sum --status -c || return 0
	command -v npm >/dev/null || install npm
	say "fetching axe-core (once)"
	dir=$(mktemp -d .tools/axe.XXXXXX)
	(cd "$dir" && npm pack --silent axe-core@4.14.1 && tar xzf axe-core-4.14.1.tgz package/axe.min.js) >/dev/null &&
		echo "$sum  $dir/package/axe.min.js" | sha256sum --status -c && mv "$dir/package/axe.min.js" .tools/axe.min.js ||
		die "axe-core 4.14.1 could not be fetched from the npm registry, or is not the file that is pinned. Nothing was changed. Check the network and run this again."
	rm -r "$dir"
}

# wasm builds the verifier for browsers into the server's pages, before the server is built. A server built without it plays originals
# all the same, and says that it did not check the seals.
wasm() {
	local dir=server/internal/web/static/wasm
	mkdir -p "$dir"
	GOOS=js GOARCH=wasm go build -buildvcs=false -trimpath -ldflags='-s -w' -o "$dir/camseal.wasm" ./pkg/cmd/camseal-wasm
	cp "$(go env GOROOT)/lib/wasm/wasm_exec.js" "$dir/wasm_exec.js"
	chmod u+w "$dir"/*
	gzip -9nf "$dir/camseal.wasm" "$dir/wasm_exec.js"
}
