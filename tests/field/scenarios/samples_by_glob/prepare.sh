mkdir -p data
for sample in a b c; do for unit in 1 2; do echo "$sample $unit" > "data/$sample.$unit.fastq"; done; done
for lane in L1 L2; do mkdir -p "data/more/$lane"; echo "$lane" > "data/more/$lane/x.fastq"; done
