mkdir data
for name in "a b" "grün" "it's" "50%" "semi;colon" "#1" "(x)" "a&b" "tilde~" "日本"; do
    echo "content of $name" > "data/$name.txt"
done
