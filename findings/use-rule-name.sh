#!/usr/bin/env bash
# Snakemake 9.27.1: `name:` in the with-block of `use rule … as … with:` is taken and dropped.
#
# Behaviour: `name:` gives a rule its name, also where it is computed, as in a loop over seeds. In a
#   with-block it has no effect: the rule is called what stands after `as`.
# Guess: the rule gets the name; or it is an error, as an unknown keyword in a with-block is.
# Seen: no error, no warning, no word from --lint. With one seed the run succeeds, and the job has
#   the name after `as`. With two seeds the same lines fail: that name is already used. A loop of
#   `rule:` with `name:` works.
# Remedy: write `rule:` with `name:` in the loop, or give one rule a wildcard for the seed.
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

# rules SNAKEFILE: the names of its rules, in one line
rules() {
    venv/bin/snakemake --snakefile "$1" --list-rules 2>"$1.log" | tr '\n' ' '
}

write() {
    cat >"$1" <<END
rule train:
    output:
        "model.txt",
    log:
        "train.log",
    shell:
        "touch {output}"


for seed in $2:

    use rule train as train_again with:
        $3
        output:
            f"model_{seed}.txt",
END
}

write one.smk "[1]" 'name: f"train_{seed}"'
write two.smk "[1, 2]" 'name: f"train_{seed}"'
write unknown.smk "[1]" 'nickname: f"train_{seed}"'
cat >plain.smk <<'END'
for seed in [1, 2]:

    rule:
        name:
            f"train_{seed}"
        output:
            f"model_{seed}.txt",
        log:
            f"train_{seed}.log",
        shell:
            "touch {output}"
END

[[ $(rules plain.smk) == "train_1 train_2 " ]] || fail "name: of a plain rule: $(rules plain.smk)"
[[ $(rules one.smk) == "train train_again " ]] || fail "the with-block: $(rules one.smk)"

venv/bin/snakemake --cores 1 --snakefile one.smk model_1.txt >run.log 2>&1 ||
    fail "a run with name: in the with-block fails: $(cat run.log)"
[[ -e model_1.txt ]] || fail "the run made nothing"
grep -q 'rule train_again:' run.log || fail "the job is not called train_again"
if grep -qiE 'warning|train_1' run.log; then fail "the run mentions the name"; fi
venv/bin/snakemake --snakefile one.smk --lint >lint.log 2>&1 || true
if grep -qiw name lint.log; then fail "lint mentions the name: $(cat lint.log)"; fi

if rules two.smk >/dev/null; then fail "two seeds are accepted"; fi
grep -q 'train_again is already used' two.smk.log || fail "two seeds: $(cat two.smk.log)"
if rules unknown.smk >/dev/null; then fail "an unknown keyword is accepted"; fi
grep -q 'nickname' unknown.smk.log || fail "an unknown keyword: $(cat unknown.smk.log)"
echo "as described: name: in a with-block is dropped without a word"
