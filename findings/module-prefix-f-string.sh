#!/usr/bin/env bash
# Snakemake 9.27.1: under a module's prefix, rules.x.output[0] and f"{rules.x.output[0]}" differ.
#
# Behaviour: `module: prefix: "pre"` puts a folder before the paths of a workflow that is imported.
#   The output of another rule has the prefix already, and carries a mark that says so. An f-string,
#   `+` and str() make plain text of it. The mark is lost, and the prefix is added again.
# Guess: a reference to a rule's output names the same file, however the text is put together.
# Seen: without a prefix all of them name data.txt. Under the prefix, three name pre/data.txt:
#   the reference, the reference as the pattern of expand(), and an input function that returns it.
#   Five name pre/pre/data.txt, and fail with MissingInputException: f"{…}", … + "", str(…),
#   expand("{path}", path=…), and an input function that returns an f-string. The workflow's own
#   runs and tests don't show it. Only an import does.
# Remedy: pass references on as they are, or write the path in full; test an import with a prefix.
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

cat >workflow.smk <<'END'
rule data:
    output:
        "data.txt",
    shell:
        "touch {output}"
END

# A rule a form, each with the data as its input.
add() {
    cat >>workflow.smk <<END


rule $1:
    input:
        $2,
    output:
        "$1.txt",
    shell:
        "touch {output}"
END
}
kept="reference pattern function"
lost="f_string sum text value f_string_of_function"
add reference 'rules.data.output[0]'
add pattern 'expand(rules.data.output[0])'
add function 'lambda wildcards: rules.data.output[0]'
add f_string 'f"{rules.data.output[0]}"'
add sum 'rules.data.output[0] + ""'
add text 'str(rules.data.output)'
add value 'expand("{path}", path=rules.data.output)'
add f_string_of_function 'lambda wildcards: f"{rules.data.output[0]}"'
cat >importer.smk <<'END'
module study:
    snakefile:
        "workflow.smk"
    prefix:
        "pre"


use rule * from study
END

for form in $kept $lost; do
    venv/bin/snakemake --dry-run --snakefile workflow.smk $form.txt >$form.log 2>&1 ||
        fail "$form without a prefix: $(cat $form.log)"
    grep -qE '^ +input: data\.txt$' $form.log || fail "$form without a prefix: $(cat $form.log)"
done
for form in $kept; do
    venv/bin/snakemake --dry-run --snakefile importer.smk pre/$form.txt >$form.log 2>&1 ||
        fail "$form with a prefix: $(cat $form.log)"
    grep -qE '^ +input: pre/data\.txt$' $form.log || fail "$form with a prefix: $(cat $form.log)"
done
for form in $lost; do
    if venv/bin/snakemake --dry-run --snakefile importer.smk pre/$form.txt >$form.log 2>&1; then
        fail "$form with a prefix works"
    fi
    grep -qE '^ +pre/pre/data\.txt$' $form.log || fail "$form with a prefix: $(cat $form.log)"
done
echo "as described: a reference keeps one prefix, text made of it gets two"
