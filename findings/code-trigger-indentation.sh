#!/usr/bin/env bash
# Snakemake 9.27.1: to the rerun trigger "code", indentation is code. Comments are not.
#
# Behaviour: a rule with a `run` block is moved, unchanged, below an `if` or into a `for`. Its jobs
#   rerun: "Code has changed since last execution".
# Guess: the trigger compares what the block does. So neither comments nor the depth of the rule
#   count; or both do, if it compares the text.
# Seen: comments and blank lines within the block rerun nothing. Nor does a move into an included
#   file or a module. A move below `if True:` or into a loop of one turn reruns the job, as does
#   indenting the file by two spaces instead of four. A `shell` rule can be moved freely.
# Remedy: keep a rule that takes long (a training) at the top level, or in a file of its own that is
#   included below the `if`.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check snakemake==9.27.1
export XDG_CACHE_HOME=$folder/cache

fail() {
    echo "CHANGED: $1"
    exit 1
}

# jobs_of_changed_code SNAKEFILE: the rules whose jobs would rerun because of their code
jobs_of_changed_code() {
    venv/bin/snakemake --dry-run --snakefile "$1" model.txt plot.txt >"$1.log" 2>&1 ||
        { cat "$1.log"; return 1; }
    awk '/^(local)?rule /{name = $2} /reason: Code has changed/{printf "%s", name}' "$1.log"
}

expect() {
    local seen
    seen=$(jobs_of_changed_code "$1") || fail "$1 does not run"
    [[ $seen == "$2" ]] || fail "$1: jobs of changed code '$seen', not '$2'"
}

cat >rules.smk <<'END'
rule train:
    output:
        "model.txt",
    run:
        with open(output[0], "w") as file:
            file.write("weights")


rule plot:
    output:
        "plot.txt",
    shell:
        "touch {output}"
END
cp rules.smk top.smk
sed 's/^\( *\)file.write/\1# Two bytes a weight.\n\n&/' rules.smk >commented.smk
echo 'include: "rules.smk"' >included.smk
printf 'module study:\n    snakefile:\n        "rules.smk"\n\n\nuse rule * from study\n' >module.smk
{ echo 'if True:'; sed 's/^./    &/' rules.smk; } >if.smk
{ echo 'for seed in [1]:'; sed 's/^./    &/' rules.smk; } >for.smk
printf 'if True:\n    include: "rules.smk"\n' >if_include.smk
sed 's/^\( *\)\1/\1/' rules.smk >two_spaces.smk
sed 's/weights/other weights/' rules.smk >changed.smk
grep -q '# Two bytes' commented.smk || fail "the comment is missing"

venv/bin/snakemake --cores 1 --snakefile top.smk model.txt plot.txt >run.log 2>&1 ||
    { cat run.log; exit 1; }

for unmoved in top commented included module if_include; do
    expect $unmoved.smk ""
done
for moved in if for two_spaces changed; do
    expect $moved.smk "train:"
done
echo "as described: a run block's comments rerun nothing, its indentation reruns the job"
