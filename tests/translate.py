"""The template as plain CloudFormation: `translate.py TEMPLATE [NAME=VALUE ...]` prints it as JSON.

CloudFormation makes it on its own servers, by the same library of SAM. A stand-in for AWS does not; and it mistakes
`AWS::NoValue` in a list for an item, so that conditions are settled here, too. Parameters are left as they are.
"""

import json
import sys

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

NO_VALUE = {"Ref": "AWS::NoValue"}


class NoManagedPolicies:
    """The template names none, so that nobody is asked for them."""

    def load(self):
        return {}


class Conditions:
    def __init__(self, template, parameters):
        self.conditions = template["Conditions"]
        declared = template["Parameters"].items()
        self.values = {name: parameters.get(name, str(declaration["Default"])) for name, declaration in declared}

    def holds(self, condition):
        if isinstance(condition, str):
            return self.holds(self.conditions[condition])
        ((function, operands),) = condition.items()
        if function == "Condition":
            return self.holds(operands)
        if function == "Fn::Equals":
            left, right = (self.values[one["Ref"]] if isinstance(one, dict) else one for one in operands)
            return left == right
        of_each = {"Fn::Not": lambda each: not any(each), "Fn::And": all, "Fn::Or": any}[function]
        return of_each(self.holds(operand) for operand in operands)

    def settled(self, value):
        """The value without `Fn::If`, and without what has no value."""
        while isinstance(value, dict) and "Fn::If" in value:
            condition, yes, no = value["Fn::If"]
            value = yes if self.holds(condition) else no
        if isinstance(value, dict):
            members = ((name, self.settled(member)) for name, member in value.items())
            return value if value == NO_VALUE else {name: member for name, member in members if member != NO_VALUE}
        if isinstance(value, list):
            return [item for item in map(self.settled, value) if item != NO_VALUE]
        return value


def main(path, *parameters):
    with open(path, encoding="utf-8") as file:
        template = yaml_parse(file)
    parameters = dict(parameter.split("=", 1) for parameter in parameters)
    template = transform(template, parameters, NoManagedPolicies())
    conditions = Conditions(template, parameters)
    for section in ("Resources", "Outputs"):
        made = {id: one for id, one in template[section].items() if conditions.holds(one.get("Condition", {"Fn::And": []}))}
        template[section] = conditions.settled(made)
    json.dump(template, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
